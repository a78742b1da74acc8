// Package migrations carries the schema of both engines inside the binary.
//
// Each step has the same number and name under postgres/ and sqlite/. Steps go
// forward only: a released file is never edited, which the migration runner in
// internal/database enforces by a checksum for each applied file. Add first,
// backfill, remove in a later release, so that old and new replicas can run
// side by side.
//
// SQLite keeps identifiers as 16-byte BLOBs, times as INTEGER microseconds
// since 1970 (UTC), booleans as 0 and 1, and JSON as TEXT; internal/database
// converts at the edge.
package migrations

import "embed"

// FS holds the folders postgres and sqlite.
//
//go:embed postgres/*.sql sqlite/*.sql
var FS embed.FS
