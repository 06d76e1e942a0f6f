-- Totals of all ledgers in a span of time are found without reading those of other times.
CREATE INDEX totals_by_hour ON totals (hour, ledger);
