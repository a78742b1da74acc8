package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// ErrNoApp says that an account has let no client of this identifier in.
var ErrNoApp = errors.New("the app is not connected")

const reasonRemoved = "removed_by_owner"

// App is a client that an account lets in: by a grant that still lives, by
// consent that is remembered, or by both. A grant lives on when the session it
// came of has run into its idle limit, so apps are listed by grants and not by
// sessions.
type App struct {
	ClientID   string
	Name       string            // the identifier when nothing else is known
	Names      map[string]string // by language, where another one is shown
	Registered bool              // it registered itself: nobody has looked at its name
	Since      time.Time
	LastUsed   time.Time // when it last got tokens; zero: not by what it may do now
	MaySee     []string  // locale keys of what it may see, as on the consent page
}

// AppRemoval says who removes an app, for the audit trail.
type AppRemoval struct{ Actor, IP, Device string }

// Connected lists the apps of an account, the most recently used first.
func (p *Provider) Connected(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]App, error) {
	rows, err := p.db.Query(ctx, `
		SELECT g.client_id, g.scopes, g.created_at,
			COALESCE((SELECT MAX(t.created_at) FROM refresh_tokens t WHERE t.grant_id = g.id), g.created_at),
			COALESCE((SELECT k.metadata FROM registered_clients k WHERE k.realm = g.realm AND k.client_id = g.client_id), '')
		FROM `+grantTables+` WHERE g.realm = $2 AND g.account_id = $3 AND `+liveGrant+`
		UNION ALL
		SELECT c.client_id, c.scopes, c.granted_at, NULL,
			COALESCE((SELECT k.metadata FROM registered_clients k WHERE k.realm = c.realm AND k.client_id = c.client_id), '')
		FROM consents c WHERE c.realm = $2 AND c.account_id = $3`, p.db.Now(ctx), r.Name, accountID)
	found, err := database.Collect(rows, err, func(rows *database.Rows) (a letIn, err error) {
		err = rows.Scan(&a.client, &a.scopes, &a.since, &a.used, &a.metadata)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list connected apps: %w", err)
	}
	return merge(r, found), nil
}

// letIn is a grant or a consent.
type letIn struct {
	client, scopes, metadata string
	since                    time.Time
	used                     *time.Time
}

// merge makes one app of all that a client was allowed.
func merge(r *realm.Realm, found []letIn) []App {
	apps, scopes := map[string]*App{}, map[string][]string{}
	for _, f := range found {
		a := apps[f.client]
		if a == nil {
			called := appCalled(r, f.client, f.metadata)
			a = &called
			a.Since = f.since
			apps[f.client] = a
		}
		if f.since.Before(a.Since) {
			a.Since = f.since
		}
		if f.used != nil && f.used.After(a.LastUsed) {
			a.LastUsed = *f.used
		}
		scopes[f.client] = append(scopes[f.client], strings.Fields(f.scopes)...)
	}
	list := make([]App, 0, len(apps))
	for id, a := range apps {
		all := scopes[id]
		slices.Sort(all)
		for _, key := range sentences(slices.Compact(all)) {
			if !slices.Contains(a.MaySee, key) {
				a.MaySee = append(a.MaySee, key)
			}
		}
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b App) int {
		return cmp.Or(b.LastUsed.Compare(a.LastUsed), b.Since.Compare(a.Since), cmp.Compare(a.ClientID, b.ClientID))
	})
	return list
}

// appCalled is an app with what it is called, and whether it chose that itself.
// metadata is what it registered, "" for others.
func appCalled(r *realm.Realm, id, metadata string) App {
	if c, ok := r.Client(id); ok {
		return App{ClientID: id, Name: c.NameIn(""), Names: c.Names}
	}
	a := App{ClientID: id, Name: id, Registered: strings.HasPrefix(id, realm.RegisteredPrefix)}
	var m clientMetadata
	if metadata != "" && json.Unmarshal([]byte(metadata), &m) == nil && m.Name != "" {
		a.Name = m.Name
	}
	return a
}

// AppNames tells what clients are called and which of them chose that
// themselves, in one query at most.
func (p *Provider) AppNames(ctx context.Context, r *realm.Realm, ids []string) (map[string]App, error) {
	apps := map[string]App{}
	args := []any{r.Name}
	var list []string
	for _, id := range ids {
		if _, known := apps[id]; known || id == "" {
			continue
		}
		apps[id] = appCalled(r, id, "")
		if registeredID(id) {
			args = append(args, id)
			list = append(list, "$"+strconv.Itoa(len(args)))
		}
	}
	if len(list) == 0 {
		return apps, nil
	}
	rows, err := p.db.Query(ctx, `SELECT client_id, metadata FROM registered_clients WHERE realm = $1 AND client_id IN (`+
		strings.Join(list, ", ")+`)`, args...)
	_, err = database.Collect(rows, err, func(rows *database.Rows) (struct{}, error) {
		var id, metadata string
		if err := rows.Scan(&id, &metadata); err != nil {
			return struct{}{}, err
		}
		apps[id] = appCalled(r, id, metadata)
		return struct{}{}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("find names of apps: %w", err)
	}
	return apps, nil
}

// RemoveApp takes from a client all that an account has let it do: its grants
// with their codes and tokens end, consent is forgotten, and a client that wants
// logout tokens gets one for every session it was used in. The person stays
// signed in here. ErrNoApp when there is nothing to take, as with an app of
// somebody else's. A client that is not configured any more can be removed too.
func (p *Provider) RemoveApp(ctx context.Context, r *realm.Realm, accountID uuid.UUID, clientID string, by AppRemoval) error {
	if !utf8.ValidString(clientID) || strings.ContainsRune(clientID, 0) {
		return ErrNoApp
	}
	err := p.db.InTx(ctx, func(ctx context.Context) error {
		consents, err := p.forgetConsent(ctx, r, accountID, clientID)
		if err != nil {
			return err
		}
		sessions, err := p.revokeApp(ctx, r, accountID, clientID)
		if err != nil {
			return err
		}
		if consents == 0 && len(sessions) == 0 {
			return ErrNoApp
		}
		c, err := p.findClient(ctx, r, clientID)
		switch {
		case errors.Is(err, errNoClient): // gone: there is nobody to tell
		case err != nil:
			return err
		default:
			if err := p.tellOfRemoval(ctx, r, c, accountID, sessions); err != nil {
				return err
			}
		}
		return p.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "app.removed", Actor: by.Actor, Target: audit.Account(accountID),
			ClientID: clientID, IP: by.IP, Details: map[string]any{"grants": len(sessions), "consent": consents > 0, "device": by.Device}})
	})
	if err != nil {
		return fmt.Errorf("remove app: %w", err)
	}
	p.wakeLogouts()
	return nil
}

// forgetConsent forgets what was agreed to, in requests that are under way too:
// they ask again. It returns how much was remembered beyond them.
func (p *Provider) forgetConsent(ctx context.Context, r *realm.Realm, accountID uuid.UUID, clientID string) (int64, error) {
	_, err := p.db.Exec(ctx, `
		UPDATE interactions SET consented_by = NULL, consented_at = NULL
		WHERE consented_by = $2 AND realm = $1 AND client_id = $3`, r.Name, accountID, clientID)
	if err != nil {
		return 0, fmt.Errorf("forget consent in requests: %w", err)
	}
	n, err := p.db.Exec(ctx, `DELETE FROM consents WHERE realm = $1 AND account_id = $2 AND client_id = $3`, r.Name, accountID, clientID)
	if err != nil {
		return 0, fmt.Errorf("forget consent: %w", err)
	}
	return n, nil
}

// revokeApp ends a client's grants and returns the session of each.
func (p *Provider) revokeApp(ctx context.Context, r *realm.Realm, accountID uuid.UUID, clientID string) ([]uuid.UUID, error) {
	rows, err := p.db.Query(ctx, `
		UPDATE grants SET revoked_at = $4, revoke_reason = $5
		WHERE account_id = $2 AND realm = $1 AND client_id = $3 AND revoked_at IS NULL
		RETURNING session_id`, r.Name, accountID, clientID, p.db.Now(ctx), reasonRemoved)
	sessions, err := database.Collect(rows, err, func(rows *database.Rows) (id uuid.UUID, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return nil, fmt.Errorf("revoke grants of the app: %w", err)
	}
	return sessions, nil
}

// tellOfRemoval queues a logout token for each session in which the client was
// used. The session goes on here; for this client it is over.
func (p *Provider) tellOfRemoval(ctx context.Context, r *realm.Realm, c *realm.Client, accountID uuid.UUID, sessions []uuid.UUID) error {
	if c.BackchannelLogoutURI == "" {
		return nil
	}
	now, told := p.db.Now(ctx), map[uuid.UUID]bool{}
	for _, id := range sessions {
		if told[id] {
			continue
		}
		told[id] = true
		if err := p.queueLogout(ctx, r, c, session.Ended{ID: id, AccountID: accountID, Realm: r.Name}, now); err != nil {
			return fmt.Errorf("queue logout token: %w", err)
		}
	}
	return nil
}
