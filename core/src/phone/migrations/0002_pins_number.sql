-- The number of the announcement that the pins are of: an older one is not believed. 0: of the QR, or of a server that did not count.
alter table profile add column pins_number integer not null default 0;
