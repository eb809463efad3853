-- A change says itself where it stands in its unit's feed. An entry for each said so again, in two more trees: half of what a first
-- upload wrote.
alter table change add column unit_id text;
update change set unit_id = (select d.unit_id from document d where d.document_id = change.document_id);
create unique index change_entered on change (unit_id, coalesce(entered, number)) where number is not null;
delete from entry where type = 'change';
alter table entry drop column change_hash;

-- By the number, which never changes once it is there: by the state, each change that was checked was taken out and put in again.
drop index change_actor;
create unique index change_actor on change (document_id, actor, seq) where number is not null;
