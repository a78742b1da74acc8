package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

const (
	// pushedPrefix is how a request_uri of ours begins (RFC 9126 §2.2).
	pushedPrefix = "urn:ietf:params:oauth:request_uri:"
	// pushedLifetime is how long the browser may take to get here with it.
	pushedLifetime = 90 * time.Second
)

// errPushedUsed says that a pushed request has had its answer.
var errPushedUsed = errors.New("pushed request already answered")

func isPushed(uri string) bool { return strings.HasPrefix(uri, pushedPrefix) }

// push is the pushed authorization request endpoint (RFC 9126 §2). A client
// proves who it is and hands in its request; the browser then carries a
// reference that says nothing and cannot be changed.
func (p *Provider) push(c *gin.Context) error {
	ctx, u := p.newUnit(c.Request.Context(), realm.From(c.Request.Context()), forRevocation)
	var uri string
	err := func() error {
		outer, err := readForm(c)
		if err != nil {
			return err
		}
		if u.client, err = p.authenticateClient(ctx, u, c.Request, outer); err != nil {
			return err
		}
		if u.client.Public() { // so it is anybody
			if err := p.mayKeep(c, u.realm); err != nil {
				return err
			}
		}
		uri, err = p.storePushed(ctx, u, outer)
		return u.finish(ctx, err)
	}()
	if err != nil {
		p.writeError(c, err)
		return nil
	}
	noStore(c)
	c.JSON(http.StatusCreated, pushedBody{uri, int64(pushedLifetime.Seconds())})
	return nil
}

type pushedBody struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

// storePushed queues a request that makes sense, and returns its reference.
func (p *Provider) storePushed(ctx context.Context, u *unit, outer url.Values) (string, error) {
	form, err := p.pushable(ctx, u.realm, u.client, outer)
	if err != nil {
		return "", err
	}
	a, err := p.readParameters(ctx, u.realm, u.client, form)
	switch {
	case errors.Is(err, errNoRedirect), errors.Is(err, errGarbled):
		e := refuse(errInvalidRequest, "The redirect_uri is missing, or not registered for this client.")
		e.cause = err
		return "", e
	case err != nil:
		return "", err
	}
	reference, until := secret.NewToken(), u.now.Add(pushedLifetime)
	// Only parameters that mean something are kept: no secret, no assertion.
	u.writes = append(u.writes, write{`
		INSERT INTO pushed_requests (request_hash, realm, client_id, request, created_at, valid_until, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		[]any{reference.Hash(), u.realm.Name, u.client.ID, a.encode(), u.now, until,
			until.Add(u.realm.Lifetimes.Interaction + finishedGrace)}, nil})
	return pushedPrefix + reference.Reveal(), nil
}

// pushable finds the parameters in what was pushed: as they are, or in a
// request object (RFC 9126 §3).
func (p *Provider) pushable(ctx context.Context, r *realm.Realm, c *realm.Client, outer url.Values) (url.Values, error) {
	switch {
	case outer.Has("request_uri"):
		return nil, refuse(errInvalidRequest, "A pushed request has no request_uri.")
	case outer.Has("request"):
		return p.objectParameters(ctx, r, c, outer.Get("request"), true)
	}
	form := url.Values{}
	for name, values := range outer {
		form[name] = values
	}
	if form.Get("client_id") != "" && form.Get("client_id") != c.ID {
		return nil, refuse(errInvalidRequest, "The client_id is not the client that authenticated.")
	}
	form.Set("client_id", c.ID)
	return form, nil
}

// pushedParameters reads a pushed request again. A look at it does not use it
// up: browsers load twice, and somebody who sees the address must not be able
// to burn it. The answer to it does (usePushed).
func (p *Provider) pushedParameters(ctx context.Context, r *realm.Realm, c *realm.Client, uri string) (url.Values, []byte, error) {
	refused := refuse(errInvalidRequestURI, "The request_uri is unknown, expired, used, or was pushed by another client.")
	reference, err := secret.ParseToken(strings.TrimPrefix(uri, pushedPrefix))
	if err != nil {
		return nil, nil, refused
	}
	var request string
	err = p.db.QueryRow(ctx, `
		SELECT request FROM pushed_requests
		WHERE request_hash = $1 AND realm = $2 AND client_id = $3 AND valid_until > $4 AND used_at IS NULL`,
		reference.Hash(), r.Name, c.ID, p.db.Now(ctx)).Scan(&request)
	switch {
	case errors.Is(err, database.ErrNoRows):
		return nil, nil, refused
	case err != nil:
		return nil, nil, fmt.Errorf("find pushed request: %w", err)
	}
	form, err := decodeRequest(request)
	return form, reference.Hash(), err
}

// usePushed uses a pushed request up. Of two browsers that got as far as this
// with one, the second gets no answer.
func usePushed(realmName string, now time.Time, hash []byte) write {
	return write{`
		UPDATE pushed_requests SET used_at = $1 WHERE request_hash = $2 AND realm = $3 AND used_at IS NULL`,
		[]any{now, hash, realmName}, errPushedUsed}
}
