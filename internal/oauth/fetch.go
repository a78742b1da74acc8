package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/portico-id/portico/internal/oauth/requestobject"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
)

const (
	// An object whose hash stands in its address is kept for a while.
	objectFreshFor = 10 * time.Minute
	maxObjects     = 256 // of at most requestobject.MaxLength each
)

// fetchObject gets the request object at an address that is registered for a
// client.
func (p *Provider) fetchObject(ctx context.Context, r *realm.Realm, c *realm.Client, uri string) (string, error) {
	now := p.db.Now(ctx)
	if raw, ok := p.objects.find(uri, now); ok {
		return raw, nil
	}
	allowed, _, err := p.limits.Allow(ctx, "request_uri:"+r.Name+":"+c.ID, r.OAuth.FetchesPerMinute, time.Minute)
	switch {
	case err != nil:
		return "", fmt.Errorf("count fetches of request objects: %w", err)
	case !allowed:
		return "", refuse(errUnavailable, "Request objects of this client were fetched too often. Try again in a minute.")
	}
	// The fragment tells versions of a document apart (OpenID Connect Core §6.2);
	// it is not sent.
	address, fragment, _ := strings.Cut(uri, "#")
	got, err := p.outbound.Get(ctx, outbound.RequestObjects, address, "application/oauth-authz-req+jwt, application/jwt", requestobject.MaxLength)
	if err == nil && got.Status != http.StatusOK {
		err = fmt.Errorf("status %d", got.Status)
	}
	if err != nil {
		e := refuse(errInvalidRequestURI, "There is no request object at the request_uri.")
		e.cause = fmt.Errorf("fetch request object: %v", err) // the client's outage is not ours
		return "", e
	}
	// A fragment that is not the hash only means that nothing is kept: it may be
	// any mark of a version.
	sum := sha256.Sum256(got.Body)
	raw := strings.TrimSpace(string(got.Body))
	if fragment == base64.RawURLEncoding.EncodeToString(sum[:]) {
		p.objects.keep(uri, raw, now)
	}
	return raw, nil
}

// objects are request objects whose address says what stands there: nobody can
// have changed them since. Who signed one, and whether it is still valid, is
// found out each time.
type objects struct {
	mu    sync.Mutex
	known map[string]object // by address, with its fragment
}

type object struct {
	raw string
	at  time.Time
}

func (o *objects) find(uri string, now time.Time) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, ok := o.known[uri]
	return found.raw, ok && now.Sub(found.at) < objectFreshFor
}

func (o *objects) keep(uri, raw string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known) >= maxObjects {
		o.known = map[string]object{}
	}
	o.known[uri] = object{raw, now}
}
