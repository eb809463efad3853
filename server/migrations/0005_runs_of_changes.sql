-- A row holds a run: changes of one actor that were taken together, each of which stands on the one before it and on nothing else. `hash`,
-- `seq` and `number` are the last one's, to which seals and heads point; `deps` are the first one's; the numbers between are theirs in
-- order. A row for each change was most of what a first upload cost.
alter table change add column change_count bigint not null default 1;
alter table change add column earlier text not null default '';  -- hashes of all but the last, in order, space-separated
alter table change add column written_from_s bigint;             -- the earliest of its times; null: `written_at_s`, which is the latest
