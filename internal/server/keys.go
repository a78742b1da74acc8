package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Keys lists the signing keys of a realm as they are stored.
func Keys(ctx context.Context, cfg *config.Config, db *database.DB, r *realm.Realm, log *slog.Logger) ([]keyring.Info, error) {
	keys, _, err := keysOf(cfg, db, log)
	if err != nil {
		return nil, err
	}
	return keys.List(ctx, r)
}

// RotateKeys makes the next signing keys of a realm: they sign a day later, or
// with soon after keyring.SoonAhead. Servers that run notice by themselves.
func RotateKeys(ctx context.Context, cfg *config.Config, db *database.DB, r *realm.Realm, soon bool, log *slog.Logger) error {
	keys, sealer, err := keysOf(cfg, db, log)
	if err != nil {
		return err
	}
	events, err := audit.New(db, audit.Options{Keys: [][]byte{sealer.DeriveKey(audit.KeyPurpose, 32)}, Logger: log})
	if err != nil {
		return err
	}
	if err := keys.Ensure(ctx, r); err != nil {
		return err
	}
	rotate := keys.Rotate
	if soon {
		rotate = keys.RotateSoon
	}
	if err := rotate(ctx, r); err != nil {
		return err
	}
	err = events.Record(ctx, audit.Event{Realm: r.Name, Kind: "keys.rotated", Actor: "system", Severity: audit.Warning,
		Details: map[string]any{"soon": soon}})
	if err != nil {
		return fmt.Errorf("record the rotation: %w", err)
	}
	return nil
}

func keysOf(cfg *config.Config, db *database.DB, log *slog.Logger) (*keyring.Keyring, *secret.Sealer, error) {
	sealer, err := secret.NewSealer([]byte(cfg.KeyEncryptionKey.Reveal()))
	if err != nil {
		return nil, nil, err
	}
	return keyring.New(db, sealer, log), sealer, nil
}
