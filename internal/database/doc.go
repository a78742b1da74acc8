// Package database opens PostgreSQL or SQLite and makes them look the same to
// the rooms above.
//
// It owns connections, transactions, the clock that decides expiry, typed
// errors, and the migration runner. It does not own a single table: SQL lives
// with the room whose rows it touches.
//
// # One SQL text
//
// Queries are written once, with $1 placeholders, in the SQL that both engines
// share: RETURNING and ON CONFLICT work, modifying CTEs, arrays and LISTEN do
// not. SkipLocked is the one hook. Arguments and scan targets are Go's own
// types: time.Time, uuid.UUID, json.RawMessage, bool, []byte, string, int64,
// and pointers to them for NULL. The SQLite side converts at the edge, see
// convert.go.
//
// # Transactions
//
// InTx puts the transaction into the context; whatever is called with that
// context joins it, a nested InTx too. Batch sends statements in order, all or
// nothing, in one round trip on PostgreSQL (a pipelined batch is one implicit
// transaction).
//
// SQLite has one writer. A write made with a context that does not carry the
// open transaction, by the very code that holds it, would wait for itself: it
// fails after Options.WriterWait with ErrWriteOutsideTx instead.
//
// # Time
//
// Now is the database's clock. For PostgreSQL it is estimated from a sample
// that is renewed every half minute, so it costs no round trip and a node
// whose own clock is wrong still agrees with the others. Inside a transaction
// it is read once.
package database
