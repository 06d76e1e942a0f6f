-- The trace in which a payment was made: three columns that are null where the upstream sent none, so
-- that rows of earlier versions need no rewriting.
ALTER TABLE payments ADD COLUMN trace_id uuid, ADD COLUMN trace_span bytea, ADD COLUMN trace_flags smallint;
COMMENT ON COLUMN payments.trace_id IS 'Id of the W3C trace in which it was made; null where the upstream sent none, and for payments stored before version 3.';
COMMENT ON COLUMN payments.trace_span IS 'The span of that trace that sent it, 8 bytes.';
COMMENT ON COLUMN payments.trace_flags IS 'The flags of that trace: 1 is sampled, 2 says that its id is random.';
COMMENT ON COLUMN payments.flags IS 'Sum of 1 (linked with the next payment), 2 (balancing debit), 4 (balancing credit), 8 (a reviewer lets it through).';
