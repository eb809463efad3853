-- The phone's database. Everything here is truth but for `document.summary`, which is computed from the changes.
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
    log_key blob not null,
    receipt_key blob not null,
    seal_key blob not null,
    enrolled_at_ms integer not null,
    -- Set when the server says that this phone was revoked: nothing is deleted, nothing more is sent.
    revoked_at_ms integer
) strict, without rowid;

create table document (
    document_id text primary key,
    kind text not null,
    unit_id text not null,
    name text not null,
    heads text not null,
    summary text not null,
    -- The reader lost the right to it; what was written here stays.
    ungranted_at_ms integer
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

create table seal (
    document_id text not null,
    change_hash text not null,
    seal blob not null,
    primary key (document_id, change_hash)
) strict, without rowid;

-- Fixes that are durable and not yet folded into a chunk of the document.
create table fix (
    fix_id integer primary key,
    document_id text not null references document (document_id),
    at_ms integer not null,
    lat_e7 integer not null,
    lon_e7 integer not null,
    accuracy_dm integer
) strict;

create table attachment (
    sha256 text primary key,
    size_bytes integer not null,
    media_type text not null,
    file_key blob not null,
    file_name text not null,           -- random: a folder listing tells nothing
    upload_url text,
    received_at_ms integer             -- the server has it whole
) strict, without rowid;

create table attachment_use (
    document_id text not null,
    sha256 text not null,
    primary key (document_id, sha256)
) strict, without rowid;

create table receipt (
    document_id text primary key,
    heads text not null,
    attachments text not null,
    jws text not null                  -- tokens, space-separated: several when one cannot name all files
) strict, without rowid;

create table sync (
    one integer primary key check (one = 1),
    cursor text not null,
    -- The newest change that was there when a sync was last tried.
    tried_through integer not null
) strict;
insert into sync (one, cursor, tried_through) values (1, '', 0);
