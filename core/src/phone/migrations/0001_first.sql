-- The phone's database. Truth but for what is computed from the changes: the columns of `document` after `own`, and the tables
-- `decision`, `record` and `attachment_use`.
-- Ids are UUIDs as text, hashes 64 lower-case hexadecimal digits, times Unix milliseconds by this phone's clock.

create table secret (
    name text primary key,
    value blob not null
) strict, without rowid;

-- One row once the phone is enrolled.
create table profile (
    phone_id text primary key,
    person_id text not null,
    unit_id text not null,
    role text not null,
    person_name text not null,
    unit_name text not null,
    server_url text not null,
    pins text not null,                -- which TLS keys are the server's: hashes, space-separated; none on loopback
    log_key blob not null,
    receipt_key blob not null,
    seal_key blob not null,
    rescue_key blob not null,
    enrolled_at_ms integer not null,
    -- Set when the server says that this phone was revoked: nothing is deleted, nothing more is sent.
    revoked_at_ms integer
) strict, without rowid;

create table document (
    document_id text primary key,
    kind text not null,
    unit_id text not null,
    name text not null,
    heads text not null,               -- ascending, so that a set of heads has one spelling
    own integer not null,              -- 1: something in it was written here
    -- The reader lost the right to it; what is here stays.
    ungranted_at_ms integer,
    -- What lists show of a patrol.
    title text,
    started_at_ms integer,
    ended_at_ms integer,
    paused integer,
    observation_count integer,
    length_m real
) strict, without rowid;

-- The decision that stands about a document. It may come before the document.
create table decision (
    document_id text primary key,
    verdict text not null,
    heads text not null,
    field text,
    remark text,
    decided_by text not null,
    decided_at_ms integer not null
) strict, without rowid;

-- What a document says, so that it can be shown without its changes. Read only while the document has these heads, and only by
-- the version of the app that wrote it: another may know other fields.
create table record (
    document_id text primary key references document (document_id),
    heads text not null,
    app_version text not null,
    content text not null
) strict, without rowid;

create table change (
    position integer primary key,      -- the order in which this phone got to know it
    document_id text not null references document (document_id),
    hash text not null unique,
    own integer not null,              -- 1: written here
    server text,                       -- null: not known to be there; 'held', 'waiting', or a refusal's word
    bytes blob not null
) strict;
create index change_document on change (document_id, position);
create index change_unsent on change (position) where server is null;
create index change_unsettled on change (document_id, server) where server is not 'held';

-- What the server refused, and what was written upon it: out of the document, which goes on without them, never out of the phone.
create table set_aside (
    position integer primary key,
    document_id text not null,         -- after a salvage perhaps of a document that is not known here yet
    hash text not null unique,
    refusal text,                      -- the refusal's word; null for what was only written upon a refused change
    anew text,                         -- the change that does the same once more; null for what is left out
    set_aside_at_ms integer not null,
    own integer not null default 1,    -- 0: a colleague's, kept apart since a salvage: the server has it, and nothing waits for it
    bytes blob not null
) strict;
create index set_aside_left_out on set_aside (document_id, refusal) where refusal is not null and anew is null and own;
create index set_aside_anew on set_aside (anew) where anew is not null;

-- What came whole and is not unfolded yet: known to be here, and nothing else is known of it. A document of a kind that this version of
-- the app does not know lies here until one does.
create table arrival (
    arrival_id integer primary key,
    document_id text,                  -- null: of an unknown kind
    strange text,                      -- the id of one of an unknown kind, as far as its seals told
    app_version text,                  -- which did not know that kind: a later one fetches it anew
    items blob not null,               -- as they travelled: its name, a snapshot, changes, seals
    set_aside integer not null default 0   -- 1: its snapshot does not unfold; it is fetched as single changes
) strict;
create index arrival_document on arrival (document_id);

-- Documents to be fetched whole at the next sync.
create table wanted (
    document_id text primary key,
    singly integer not null            -- 1: as single changes
) strict, without rowid;

create table seal (
    document_id text not null,
    change_hash text not null,
    seal blob not null,
    primary key (document_id, change_hash)
) strict, without rowid;

-- Fixes that are durable and not yet folded into a chunk of the document.
create table fix (
    fix_id integer primary key,
    document_id text not null,         -- after a salvage perhaps of a document that is not known here yet
    at_ms integer not null,
    lat_e7 integer not null,
    lon_e7 integer not null,
    accuracy_dm integer
) strict;

-- How much was ever recorded here. The same count lies beside the database (`mark.rs`): one that counts less has lost something.
create table recorded (
    one integer primary key check (one = 1),
    count integer not null
) strict;
insert into recorded (one, count) values (1, 0);
create trigger recorded_change after insert on change when new.own begin update recorded set count = count + 1; end;
create trigger recorded_fix after insert on fix begin update recorded set count = count + 1; end;

-- Damage that was found here, so that it is said until the app has shown it, and after.
create table damage (
    damage_id integer primary key,
    found_at_ms integer not null,
    folder text not null,              -- in the phone's folder: where what was found lies as it was
    lost_records integer,              -- recorded and acknowledged, and gone; null when nobody can tell
    lacking text not null,             -- documents of which something could not be read, space-separated
    identity_lost integer not null
) strict;

create table attachment (
    sha256 text primary key,
    size_bytes integer not null,
    media_type text not null,
    file_key blob not null,
    file_name text not null,           -- random: a folder listing tells nothing
    upload_url text,
    received_at_ms integer,            -- the server has it whole
    let_go_at_ms integer,              -- this phone's copy went by the rule of retention
    -- The small picture beside it; null where there is none.
    preview_key blob,
    preview_name text,
    preview_size_bytes integer,
    preview_sent_at_ms integer         -- the server has it, or does not want it
) strict, without rowid;

create table attachment_use (
    document_id text not null,
    sha256 text not null,
    primary key (document_id, sha256)
) strict, without rowid;
create index attachment_use_file on attachment_use (sha256);

create table receipt (
    document_id text primary key,
    heads text not null,
    attachments text not null,
    epoch text not null default '',    -- of the log that it names; empty: of one that was cut short
    jws text not null                  -- tokens, space-separated: several when one cannot name all files
) strict, without rowid;
-- The signature is ten times as long as what lists compare.
create index receipt_compared on receipt (document_id, heads, attachments, epoch);

create table sync (
    one integer primary key check (one = 1),
    cursor text not null,
    -- The epoch of the server's log, as far as this phone heard: receipts of another say nothing about the server of today.
    epoch text not null default '',
    -- When all documents were last compared with the server's; null: not in this epoch.
    compared_at_ms integer,
    -- The newest change that was there when a sync was last tried.
    tried_through integer not null,
    -- What the server announced that its backups hold: the leaves below this, in this epoch. Null until it did.
    backed_up_epoch blob,
    backed_up_through integer
) strict;
insert into sync (one, cursor, tried_through) values (1, '', 0);

-- Where each document is on its way to the server: the one place where what the server signed for is compared with what is here.
-- Sets of heads have one spelling, so equal texts are equal heads; a test holds `covered` against `Receipt::covers`.
create view standing as
select d.*,
    coalesce(r.heads = d.heads and r.epoch = (select epoch from sync), 0) and not exists (
        select 1 from attachment_use u where u.document_id = d.document_id and instr(r.attachments, u.sha256) = 0
    ) as covered,
    coalesce(c.unsettled, 0)
        or d.document_id in (select document_id from set_aside where refusal is not null and anew is null and own) as unsettled,
    coalesce(c.newest_unsent <= (select tried_through from sync), 1) as tried,
    d.document_id in (select document_id from fix) as loose,
    k.heads = d.heads as decided_about_this,
    k.verdict, k.heads as decided_heads, k.field, k.remark, k.decided_by, k.decided_at_ms
from document d
left join receipt r indexed by receipt_compared on r.document_id = d.document_id
left join (
    select document_id, count(*) as unsettled, max(position) filter (where server is null) as newest_unsent
    from change where server is not 'held' group by document_id
) c on c.document_id = d.document_id
left join decision k on k.document_id = d.document_id;
