-- +goose Up
-- known: the browser of a sign-in that waits has signed in to the account before. How many may wait
-- is counted apart from those of strangers.
ALTER TABLE signin_steps ADD COLUMN known INTEGER NOT NULL DEFAULT 0;
