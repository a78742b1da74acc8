-- +goose Up
-- When the notice was sent whose link froze the account: what was set from then
-- on is not trusted when the practice opens the account again.
ALTER TABLE accounts ADD COLUMN frozen_notice_at INTEGER;
UPDATE accounts SET frozen_notice_at = frozen_at WHERE frozen_at IS NOT NULL;

-- A browser's way from a link of a letter to the page that decides. Mail
-- scanners that send a link's form make one of these and nothing else.
CREATE TABLE email_change_flows (
    flow_hash  BLOB PRIMARY KEY,
    change_id  BLOB NOT NULL REFERENCES email_changes (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX email_change_flows_change ON email_change_flows (change_id);
CREATE INDEX email_change_flows_expires ON email_change_flows (expires_at);

CREATE TABLE freeze_flows (
    flow_hash  BLOB PRIMARY KEY,
    link_hash  BLOB NOT NULL REFERENCES freeze_links (token_hash) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX freeze_flows_link ON freeze_flows (link_hash);
CREATE INDEX freeze_flows_expires ON freeze_flows (expires_at);
