-- A row holds a run: changes of one actor that were taken together, each of which stands on the one before it and on nothing else. `hash`,
-- `seq` and `number` are the last one's, to which seals and heads point; `deps` are the first one's; the numbers between are theirs in
-- order. With a row for each change a first upload took 1.09 ms a patrol, so
-- 0.64 (28 November 2026).
-- The bytes stand last: SQLite walks over them to whatever stands behind. Every server on this database has to be stopped before: one of the
-- version before would take what lies within a row for something new.
create table run (
    document_id text not null references document (document_id),
    hash text not null,
    change_count bigint not null default 1,
    earlier text not null default '',  -- hashes of all but the last, in order, space-separated
    unit_id text,
    actor text not null,               -- 24 bytes as hexadecimal digits: phone (or server), opening
    seq bigint not null,
    deps text not null,                -- hashes, space-separated
    written_at_s bigint not null,      -- the latest of its times by the writer's clock, Unix seconds
    written_from_s bigint,             -- the earliest; null: the same
    received_at_ms bigint not null,
    carrier_phone_id text,             -- who brought it; null: the server wrote it
    state text not null,               -- 'waiting' for an ancestor, 'accepted', 'checked', 'withheld'
    number bigint,                     -- in the unit's feed, once accepted
    entered bigint,                    -- number of its newest entry, where it was withheld and let in again; null: `number`
    withheld_for text,                 -- why the worker withheld it: a stable word
    bytes bytea not null,              -- the changes under the document's key
    primary key (document_id, hash)
);
insert into run (document_id, hash, change_count, earlier, unit_id, actor, seq, deps, written_at_s, received_at_ms, carrier_phone_id, state,
    number, entered, withheld_for, bytes)
select document_id, hash, 1, '', unit_id, actor, seq, deps, written_at_s, received_at_ms, carrier_phone_id, state, number, entered,
    withheld_for, bytes from change;
drop table change;
alter table run rename to change;
create unique index change_actor on change (document_id, actor, seq) where number is not null;
create unique index change_entered on change (unit_id, coalesce(entered, number)) where number is not null;
create index change_waiting on change (document_id) where state = 'waiting';
create index change_withheld on change (document_id) where state = 'withheld';
