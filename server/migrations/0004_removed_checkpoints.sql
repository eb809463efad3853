-- A checkpoint that was removed keeps its row: visits to it are called by its name. Null while it is one.
alter table checkpoint add column removed_at_ms bigint;
