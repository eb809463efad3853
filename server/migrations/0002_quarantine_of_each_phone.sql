-- What is refused is kept once for each phone that brings it: with one row for all, who brought another's bytes first, under another
-- document or without their seals, decided what the chief of their writer would find.
drop index quarantine_hash;
create unique index quarantine_hash on quarantine (hash, reason, coalesce(carrier_phone_id, ''));
