package database

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// liteArgs writes Go's types the way the SQLite tables keep them: identifiers
// as 16 bytes, times as microseconds, JSON as text.
func liteArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case uuid.UUID:
			out[i] = v[:]
		case *uuid.UUID:
			if v != nil {
				out[i] = v[:]
			}
		case uuid.NullUUID:
			if v.Valid {
				out[i] = v.UUID[:]
			}
		case time.Time:
			out[i] = v.UnixMicro()
		case *time.Time:
			if v != nil {
				out[i] = v.UnixMicro()
			}
		case time.Duration:
			out[i] = v.Microseconds()
		case json.RawMessage:
			if v != nil {
				out[i] = string(v)
			}
		case []byte:
			// A nil slice is NULL on PostgreSQL; keep it so here.
			if v != nil {
				out[i] = v
			}
		default:
			out[i] = a
		}
	}
	return out
}

// pgArgs hands identifiers to pgx in the form it encodes without reflection,
// and JSON as text so that both json and text columns take it.
func pgArgs(args []any) []any {
	for i, a := range args {
		switch a.(type) {
		case uuid.UUID, *uuid.UUID, uuid.NullUUID, json.RawMessage, time.Duration:
			out := make([]any, len(args))
			copy(out, args[:i])
			for j := i; j < len(args); j++ {
				out[j] = pgArg(args[j])
			}
			return out
		}
	}
	return args
}

func pgArg(a any) any {
	switch v := a.(type) {
	case uuid.UUID:
		return [16]byte(v)
	case *uuid.UUID:
		if v == nil {
			return nil
		}
		return [16]byte(*v)
	case uuid.NullUUID:
		if !v.Valid {
			return nil
		}
		return [16]byte(v.UUID)
	case json.RawMessage:
		if v == nil {
			return nil
		}
		return string(v)
	case time.Duration:
		return v.Microseconds()
	}
	return a
}

// pgTargets and liteTargets wrap the scan targets that need a conversion.
func pgTargets(targets []any) []any {
	out := make([]any, len(targets))
	for i, t := range targets {
		switch v := t.(type) {
		case *uuid.UUID:
			out[i] = (*[16]byte)(v)
		case **uuid.UUID:
			out[i] = &nullID{v}
		case *json.RawMessage:
			out[i] = (*[]byte)(v)
		default:
			out[i] = t
		}
	}
	return out
}

func liteTargets(targets []any) []any {
	out := make([]any, len(targets))
	for i, t := range targets {
		switch v := t.(type) {
		case *time.Time:
			out[i] = &liteTime{v}
		case **time.Time:
			out[i] = &nullTime{v}
		case **uuid.UUID:
			out[i] = &nullID{v}
		case *json.RawMessage:
			out[i] = (*[]byte)(v)
		default:
			out[i] = t
		}
	}
	return out
}

// liteTime scans microseconds since 1970.
type liteTime struct{ to *time.Time }

func (t *liteTime) Scan(src any) error {
	us, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time in microseconds expected, %T found", src)
	}
	*t.to = time.UnixMicro(us).UTC()
	return nil
}

// nullTime scans microseconds since 1970 that may be NULL.
type nullTime struct{ to **time.Time }

func (t *nullTime) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t.to = nil
	case int64:
		at := time.UnixMicro(v).UTC()
		*t.to = &at
	default:
		return fmt.Errorf("a time expected, %T found", src)
	}
	return nil
}

// nullID scans an identifier that may be NULL, from either engine.
type nullID struct{ to **uuid.UUID }

func (n *nullID) Scan(src any) error {
	var id uuid.NullUUID
	if err := id.Scan(src); err != nil {
		return err
	}
	*n.to = nil
	if id.Valid {
		*n.to = &id.UUID
	}
	return nil
}

var (
	_ sql.Scanner   = (*nullTime)(nil)
	_ driver.Valuer = uuid.UUID{}
)
