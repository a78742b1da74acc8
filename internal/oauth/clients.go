package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
)

// errStaleClient says that a remembered client has changed since: the request
// is run again with the client as it is now.
var errStaleClient = errors.New("the client's registration has changed")

// findClient finds a client of a realm. Those of the configuration cost no
// query; those that registered themselves are read, so that every replica sees
// a change at once. errNoClient.
func (p *Provider) findClient(ctx context.Context, r *realm.Realm, id string) (*realm.Client, error) {
	return p.rememberedClient(ctx, r, id, false)
}

// rememberedClient is findClient for callers that compare the version of the
// client's registration with one that they read themselves (a grant carries
// it): it may be out of date.
func (p *Provider) rememberedClient(ctx context.Context, r *realm.Realm, id string, remembered bool) (*realm.Client, error) {
	if c, ok := r.Client(id); ok {
		return c, nil
	}
	if !r.OAuth.Registration.Enabled() || !registeredID(id) {
		return nil, errNoClient
	}
	if remembered {
		if c := p.registered.remembered(r, id); c != nil {
			return c, nil
		}
	}
	return p.registered.find(ctx, r, id)
}

// askingClient is the client that a request of this unit says it is from.
func (p *Provider) askingClient(ctx context.Context, u *unit, id string) (*realm.Client, error) {
	found, err := p.rememberedClient(ctx, u.realm, id, u.mayCache)
	if err != nil && !errors.Is(err, errNoClient) {
		return nil, u.fail(err) // fosite would make a refusal of it
	}
	return found, err
}

// registeredID reports whether an identifier looks like one we gave to a client
// that registered itself, so that no other unknown identifier costs a query.
func registeredID(id string) bool {
	rest, ok := strings.CutPrefix(id, realm.RegisteredPrefix)
	return ok && len(rest) == 22 && strings.Trim(rest, base64url) == ""
}

// registrations are the clients that registered themselves.
type registrations struct {
	db *database.DB

	mu    sync.Mutex
	known map[registrationKey]*realm.Client
}

type registrationKey struct {
	realm *realm.Realm // a reloaded configuration has other policies, and starts anew
	id    string
}

// maxRemembered bounds the clients that are remembered.
const maxRemembered = 4096

func newRegistrations(db *database.DB) *registrations {
	return &registrations{db: db, known: map[registrationKey]*realm.Client{}}
}

func (s *registrations) remembered(r *realm.Realm, id string) *realm.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[registrationKey{r, id}]
}

// find reads a client and remembers it.
func (s *registrations) find(ctx context.Context, r *realm.Realm, id string) (*realm.Client, error) {
	row, err := s.read(ctx, r, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, errNoClient):
		delete(s.known, registrationKey{r, id})
		return nil, err
	case err != nil:
		return nil, err
	}
	if len(s.known) >= maxRemembered {
		clear(s.known)
	}
	c := row.client(r)
	s.known[registrationKey{r, id}] = c
	return c, nil
}

// nobody is compared with when a client is unknown, so that unknown and wrong
// cost the same.
var nobody = &realm.Client{SecretHash: make([]byte, 32), AuthMethod: realm.AuthBasic}

// authenticateClient finds out which client sent a request and lets it prove
// that (RFC 6749 §2.3). The registered method is the only one accepted; sending
// credentials in two ways is an error of its own. The unit has to be flushed
// afterwards, whatever becomes of the request: that spends an assertion.
func (p *Provider) authenticateClient(ctx context.Context, u *unit, req *http.Request, form url.Values) (*realm.Client, error) {
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		if _, inHeader := req.Header["Authorization"]; inHeader || form.Has("client_secret") {
			return nil, refuse(errInvalidRequest, "The client authenticated in two ways.")
		}
		return p.byAssertion(ctx, u, form)
	}
	sent, err := presented(req, form)
	if err != nil {
		return nil, err
	}
	found, err := p.askingClient(ctx, u, sent.id)
	known := err == nil
	if err != nil && !errors.Is(err, errNoClient) {
		return nil, err
	}
	if !known {
		found = nobody
	}
	if sent.method == realm.AuthNone {
		if known && found.Public() {
			return found, nil
		}
		return nil, errClient
	}
	fits := sent.provenBy(found)
	if !known || !fits || found.AuthMethod != sent.method {
		return nil, errClient
	}
	return found, nil
}

// finish writes the unit and returns what the request is answered with: err,
// unless writing failed or the client's assertion was used before.
func (u *unit) finish(ctx context.Context, err error) error {
	flushed := u.flush(ctx, err == nil)
	if errors.Is(flushed, errReplayed) {
		return errReplayed
	}
	return errors.Join(err, flushed)
}

// documents reads what clients publish, in the rules of package outbound.
type documents struct{ client *outbound.Client }

// maxDocument bounds a document of a client in bytes.
const maxDocument = 64 << 10

func (d documents) Document(ctx context.Context, address string, stranger bool) ([]byte, error) {
	budget := outbound.Documents
	if stranger {
		budget = outbound.Strangers
	}
	answer, err := d.client.Get(ctx, budget, address, "application/json, */*;q=0.5", maxDocument)
	switch {
	case err != nil:
		// Not wrapped: that their server does not answer is no outage of ours.
		return nil, fmt.Errorf("fetch: %v", err)
	case answer.Status != http.StatusOK:
		return nil, fmt.Errorf("fetch: status %d", answer.Status)
	}
	return answer.Body, nil
}

// LearnClientKeys fetches the keys of configured clients that publish them at
// an address, so that a request object can be verified without asking anybody.
// A client that cannot be reached is tried again at the next turn.
func (p *Provider) LearnClientKeys(ctx context.Context, realms []*realm.Realm) error {
	var failed []error
	for _, r := range realms {
		for _, c := range r.Clients() {
			if c.JWKSURI == "" {
				continue
			}
			if _, err := p.keysOf.Set(ctx, c, "", true); err != nil {
				failed = append(failed, fmt.Errorf("keys of client %s: %w", c.ID, err))
			}
		}
	}
	return errors.Join(failed...)
}
