-- One SQL text for SQLite and PostgreSQL: text, bigint, bytea, double precision, and nothing else.
-- Ids are UUIDs as text, hashes 64 lower-case hexadecimal digits, times Unix milliseconds (`_at_ms`), dates ISO text.
--
-- TRUTH: cannot be rebuilt. Lost rows here are lost records.
--   unit unit_link person session sign_in_attempt enrolment_code phone assertion server_key setting
--   feed document change seal entry leaf quarantine attachment upload audit
-- PROJECTION: computed from the documents by a pure function; `kieumau reproject` rebuilds every one.
--   patrol patrol_member patrol_count pause observation measure_taken visit handover track_segment
--   evidence attachment_use decision clash checkpoint

-- ── Units and people ────────────────────────────────────────────────────────────────────────────────────────────────
create table unit (
    unit_id text primary key,
    name text not null,
    level text not null,               -- 'ward' or 'province'
    valid_from text not null,
    valid_to text,                     -- first day it is no more; null while it is
    sample bigint not null default 0   -- 1: invented by the demo, and marked so on every page
);

create table unit_link (
    from_unit_id text not null references unit (unit_id),
    to_unit_id text not null references unit (unit_id),
    link text not null,                -- 'merge', 'split', 'rename'
    on_date text not null,
    primary key (from_unit_id, to_unit_id)
);

create table person (
    person_id text primary key,
    unit_id text not null references unit (unit_id),
    role text not null,                -- 'officer', 'chief', 'appraiser', 'admin', 'auditor'
    name text not null,
    sign_in text not null unique,
    password_hash text,                -- argon2id; null: cannot sign in to pages
    created_at_ms bigint not null,
    disabled_at_ms bigint
);
create index person_unit on person (unit_id);

create table session (
    token_hash text primary key,       -- SHA-256 of the cookie; the cookie itself is nowhere
    person_id text not null references person (person_id),
    created_at_ms bigint not null,
    expires_at_ms bigint not null
);
create index session_person on session (person_id);

create table sign_in_attempt (
    attempt_id text primary key,
    subject text not null,             -- hash of the account name or of the code: whom the attempt was about
    at_ms bigint not null
);
create index sign_in_attempt_subject on sign_in_attempt (subject, at_ms);

create table enrolment_code (
    code_hash text primary key,
    person_id text not null references person (person_id),
    issued_by text,                    -- null: by the administration on the command line
    issued_at_ms bigint not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    phone_id text
);

create table phone (
    phone_id text primary key,
    person_id text not null references person (person_id),
    unit_id text not null references unit (unit_id),
    algorithm text not null,           -- 'Ed25519'; the record names it, nothing is negotiated
    public_key bytea not null,
    model text not null,
    app_version text not null,
    enrolled_at_ms bigint not null,
    enrolled_leaf bigint not null,     -- position in the log of the leaf that says so
    last_seen_at_ms bigint,
    revoked_at_ms bigint,
    revoked_by text,
    revoked_leaf bigint
);
create index phone_unit on phone (unit_id);
create index phone_person on phone (person_id);

-- Assertions already used to get a token, until they expire.
create table assertion (
    jti text primary key,
    expires_at_ms bigint not null
);

create table server_key (
    purpose text primary key,          -- 'log', 'receipt', 'seal', 'token', 'rescue'
    public_key bytea not null,
    wrapped_private_key bytea not null,
    created_at_ms bigint not null
);

create table setting (
    name text primary key,
    value text not null
);

-- ── Documents and the log ───────────────────────────────────────────────────────────────────────────────────────────
create table feed (
    unit_id text primary key references unit (unit_id),
    last_number bigint not null,
    checked_through bigint not null    -- every entry up to here may be served
);

create table document (
    document_id text primary key,
    kind text not null,
    unit_id text not null references unit (unit_id),
    name text not null,                -- the natural key
    wrapped_key bytea not null,        -- the key its changes lie under, wrapped by the master key
    first_received_at_ms bigint not null,
    size_bytes bigint not null,        -- of its accepted changes
    heads text not null,               -- of its accepted changes: sorted hashes, space-separated
    checked_heads text not null,       -- of what the worker let through
    projected_heads text not null,     -- of what the rows below say
    unchecked_from bigint,             -- number of its first accepted change that waits for the worker; null: none does
    unique (kind, unit_id, name)
);
create index document_unit on document (unit_id, kind);
create index document_listed on document (unit_id, document_id);
create index document_unchecked on document (unit_id, unchecked_from) where unchecked_from is not null;

create table change (
    document_id text not null references document (document_id),
    hash text not null,
    actor text not null,               -- 24 bytes as hexadecimal digits: phone (or server), opening
    seq bigint not null,
    deps text not null,                -- hashes, space-separated
    written_at_s bigint not null,      -- by the writer's clock, Unix seconds
    received_at_ms bigint not null,
    carrier_phone_id text,             -- who brought it; null: the server wrote it
    state text not null,               -- 'waiting' for an ancestor, 'accepted', 'checked', 'withheld'
    number bigint,                     -- in the unit's feed, once accepted
    withheld_for text,                 -- why the worker withheld it: a stable word
    bytes bytea not null,              -- the change under the document's key
    primary key (document_id, hash)
);
create unique index change_actor on change (document_id, actor, seq) where state <> 'waiting';
create index change_waiting on change (document_id) where state = 'waiting';

create table seal (
    document_id text not null references document (document_id),
    change_hash text not null,
    signer text not null,              -- phone id, or the id of the server's key
    signature bytea not null,
    primary key (document_id, change_hash, signer)
);

create table entry (
    unit_id text not null,
    number bigint not null,
    type text not null,                -- 'change', 'grant', 'ungrant'
    document_id text not null,
    change_hash text,
    person_id text,
    primary key (unit_id, number)
);

create table leaf (
    epoch text not null,
    position bigint not null,
    content bytea not null,
    nodes bytea not null,              -- hashes of the perfect subtrees that end with it, 32 bytes each: of itself, then upwards
    document_id text,                  -- of a batch, with the number of its last change: a change stands in the first leaf
    through_number bigint,             -- of its document that goes up to its number or beyond
    primary key (epoch, position)
);
create index leaf_document on leaf (document_id, through_number) where document_id is not null;

-- Never dropped: what was refused lies here with its reason.
create table quarantine (
    quarantine_id text primary key,
    unit_id text,
    document_id text,
    hash text not null,
    reason text not null,
    carrier_phone_id text,
    received_at_ms bigint not null,
    wrapped_key bytea not null,
    bytes bytea not null,
    admitted_at_ms bigint
);
create unique index quarantine_hash on quarantine (hash, reason);

create table attachment (
    unit_id text not null references unit (unit_id),
    sha256 text not null,
    size_bytes bigint not null,
    media_type text not null,
    object text not null,              -- what its sealed file is called in the store
    wrapped_key bytea not null,
    received_at_ms bigint not null,
    received_from text,                -- phone
    leaf bigint not null,
    thumbnail text not null,           -- 'waiting', 'made', 'none'
    thumbnail_after_ms bigint not null default 0, -- not tried again before: its original could not be read
    primary key (unit_id, sha256)
);

create table upload (
    upload_id text primary key,
    unit_id text not null,
    sha256 text not null,
    size_bytes bigint not null,
    offset_bytes bigint not null,
    wrapped_key bytea not null,
    phone_id text not null,
    expires_at_ms bigint not null
);

create table audit (
    audit_id text primary key,         -- UUIDv7
    at_ms bigint not null,
    person_id text,
    phone_id text,
    unit_id text,
    action text not null,              -- a stable word: 'sign-in', 'patrol-read', 'decision-written'
    subject text,                      -- the id of what it was done to; never content
    detail text                        -- a stable word or a count; never content
);
create index audit_unit on audit (unit_id, at_ms);

-- ── Projection ──────────────────────────────────────────────────────────────────────────────────────────────────────
create table patrol (
    document_id text primary key,
    unit_id text not null,
    title text not null,
    started_at_ms bigint not null,
    started_by text not null,
    leader text not null,
    ended_at_ms bigint,
    imported_at_ms bigint,
    length_m double precision not null,
    fix_count bigint not null,
    accuracy_unknown bigint not null,  -- 1: the track's source did not say how exact it is
    observation_count bigint not null,
    attachment_count bigint not null,
    visit_count bigint not null
);
create index patrol_unit on patrol (unit_id, started_at_ms);

create table patrol_member (
    document_id text not null,
    person_id text not null,
    since_ms bigint,                   -- on the team since then; null: not on it, but the shift was handed over to them
    primary key (document_id, person_id)
);
create index patrol_member_person on patrol_member (person_id);

create table patrol_count (
    document_id text not null,
    what text not null,                -- 'force', 'vehicle'
    code text not null,
    count bigint not null,
    primary key (document_id, what, code)
);

create table pause (
    document_id text not null,
    pause_id text not null,
    from_ms bigint not null,
    until_ms bigint,
    person_id text not null,
    primary key (document_id, pause_id)
);

create table observation (
    document_id text not null,
    observation_id text not null,
    unit_id text not null,
    category text not null,
    count bigint not null,
    count_unit text not null,
    happened_at_ms bigint not null,
    recorded_at_ms bigint not null,
    recorded_by text not null,
    edited_by text,
    lat_e7 bigint,
    lon_e7 bigint,
    fine_vnd bigint,
    exhibits_held bigint,
    vehicles_held bigint,
    record_number text,
    handed_over_to text,
    note text,
    withdrawn_at_ms bigint,
    primary key (document_id, observation_id)
);
create index observation_unit on observation (unit_id, happened_at_ms);

create table measure_taken (
    document_id text not null,
    observation_id text not null,
    code text not null,
    primary key (document_id, observation_id, code)
);

create table visit (
    document_id text not null,
    visit_id text not null,
    checkpoint_id text not null,
    at_ms bigint not null,
    person_id text not null,
    proof text not null,
    primary key (document_id, visit_id)
);

create table handover (
    document_id text not null,
    handover_id text not null,
    from_person_id text not null,
    to_person_id text not null,
    at_ms bigint not null,
    note text not null,
    confirmed_at_ms bigint,            -- by the one who took over
    primary key (document_id, handover_id)
);

-- The tracks as they are drawn: unbroken pieces, one recorder after another; between two pieces of one recorder a gap, drawn dashed.
create table track_segment (
    document_id text not null,
    number bigint not null,
    person_id text not null,           -- whose phone recorded it
    from_ms bigint not null,
    until_ms bigint not null,
    line text not null,                -- JSON array of [lon, lat] in degrees
    primary key (document_id, number)
);

create table evidence (
    document_id text not null,
    evidence_id text not null,
    unit_id text not null,
    criterion bigint not null,
    period text not null,
    evidence_kind text not null,
    summary text not null,             -- trích yếu
    document_number text,              -- số, ký hiệu
    issued_on text,                    -- ngày ban hành
    issued_by text,                    -- cơ quan ban hành
    signed_by text,                    -- người ký
    note text,
    recorded_at_ms bigint not null,
    recorded_by text not null,
    edited_by text,
    withdrawn_at_ms bigint,
    primary key (document_id, evidence_id)
);
create index evidence_unit on evidence (unit_id, period, criterion);

-- Where attachments hang. The bytes may still be on the phone: `attachment` says whether they are here.
create table attachment_use (
    document_id text not null,
    attachment_id text not null,
    item_id text,
    sha256 text not null,
    size_bytes bigint not null,
    media_type text not null,
    attached_at_ms bigint not null,
    attached_by text not null,
    withdrawn_at_ms bigint,
    primary key (document_id, attachment_id)
);
create index attachment_use_sha256 on attachment_use (sha256);

create table decision (
    document_id text not null,         -- the review
    decision_id text not null,
    reviewed_id text not null,         -- the document decided about
    decision text not null,            -- 'approved', 'returned', 'withdrawn'
    heads text not null,               -- what was seen: sorted hashes, space-separated
    field text,
    remark text,
    person_id text not null,
    at_ms bigint not null,
    withdraws text,
    primary key (document_id, decision_id)
);
create index decision_reviewed on decision (reviewed_id, at_ms);

create table checkpoint (
    document_id text not null,         -- the reference that publishes it
    checkpoint_id text not null,
    unit_id text not null,
    name text not null,
    lat_e7 bigint not null,
    lon_e7 bigint not null,
    primary key (document_id, checkpoint_id)
);
create index checkpoint_unit on checkpoint (unit_id, checkpoint_id);

create table clash (
    document_id text not null,
    path text not null,                -- map keys, joined by '/'
    value_number bigint not null,
    value text not null,
    phone_id text,
    primary key (document_id, path, value_number)
);
