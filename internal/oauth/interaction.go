package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// ErrFlow says that a flow is unknown, over, or belongs to another browser.
var ErrFlow = errors.New("no such flow in this browser")

// finishedGrace is how long a finished flow may be asked for again: a double
// click, or an answer that got lost. After that Back leads to a page that says
// so, not to another code.
const finishedGrace = time.Minute

// interaction is an authorization request that waits for its person.
type interaction struct {
	id          uuid.UUID
	request     string
	createdAt   time.Time
	expiresAt   time.Time
	consentedBy *uuid.UUID
	consentedTo string // see asShown
}

// mayKeep bounds how many requests of one network are kept: anybody can make
// one, and each is a row.
func (p *Provider) mayKeep(c *gin.Context, r *realm.Realm) error {
	return p.allow(c, "interactions:"+r.Name+":"+web.Network(c), r.SignIn.InteractionsPerHour)
}

// mayBegin is mayKeep for a browser.
func (p *Provider) mayBegin(c *gin.Context, r *realm.Realm) error {
	err := p.mayKeep(c, r)
	var limited errLimited
	if errors.As(err, &limited) {
		return web.Busy(limited.after, err)
	}
	return err
}

// begin stores a request for this browser and returns the flow's id.
func (p *Provider) begin(ctx context.Context, r *realm.Realm, a *authorization, browser []byte) (uuid.UUID, error) {
	id, now := database.NewID(), p.db.Now(ctx)
	_, err := p.db.Exec(ctx, `
		INSERT INTO interactions (id, realm, client_id, browser_hash, request, pushed_hash, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		id, r.Name, a.client.ID, browser, a.encode(), a.pushed, now, now.Add(r.Lifetimes.Interaction))
	if err != nil {
		return uuid.Nil, fmt.Errorf("store interaction: %w", err)
	}
	return id, nil
}

// resume finds a flow and reads its request again: a client or a redirect URI
// that was removed from the configuration meanwhile is removed. ErrFlow.
func (p *Provider) resume(ctx context.Context, r *realm.Realm, id uuid.UUID, browser []byte) (*authorization, error) {
	flow := &interaction{id: id}
	now := p.db.Now(ctx)
	var finishedAt *time.Time
	var clientID string
	var pushed []byte
	err := p.db.QueryRow(ctx, `
		SELECT client_id, request, pushed_hash, created_at, expires_at, consented_by, consented_to, finished_at FROM interactions
		WHERE id = $1 AND realm = $2 AND browser_hash = $3 AND expires_at > $4`, id, r.Name, browser, now).
		Scan(&clientID, &flow.request, &pushed, &flow.createdAt, &flow.expiresAt, &flow.consentedBy, &flow.consentedTo, &finishedAt)
	switch {
	case errors.Is(err, database.ErrNoRows):
		return nil, ErrFlow
	case err != nil:
		return nil, fmt.Errorf("find interaction: %w", err)
	case finishedAt != nil && now.Sub(*finishedAt) > finishedGrace:
		return nil, fmt.Errorf("%w: finished", ErrFlow)
	}
	form, err := decodeRequest(flow.request)
	if err != nil {
		return nil, err
	}
	found, err := p.findClient(ctx, r, clientID)
	if err != nil && !errors.Is(err, errNoClient) {
		return nil, err
	}
	var a *authorization
	if err == nil {
		a, err = p.readParameters(ctx, r, found, form)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFlow, err)
	}
	if flow.consentedTo != asShown(found) {
		flow.consentedBy = nil
	}
	a.flow, a.pushed = flow, pushed
	return a, nil
}

// FlowView is what the pages on the way may know of a flow.
type FlowView struct {
	ClientID, ClientName string
	ClientNames          map[string]string // by language, where another one is shown
	LoginHint            string            // what the client believes the person signs in with
	UILocales            string            // languages, best first, separated by spaces
	RedirectOrigin       string            // for form-action: where the journey will end
	ClientURI            string            // the portal's front page, to start again

	LogoURI, PolicyURI, TermsURI string // https, of the client

	UnverifiedHost string // where an app leads that the realm has not verified; ""
}

// Describe tells the sign-in page about the flow it works for. browser is
// web.Browser of the request: a flow started in another browser is ErrFlow, so
// nobody finishes somebody else's sign-in (login CSRF). With ErrFlow the view
// still names the client, if that is known.
func (p *Provider) Describe(ctx context.Context, r *realm.Realm, flow uuid.UUID, browser []byte) (FlowView, error) {
	a, err := p.resume(ctx, r, flow, browser)
	if errors.Is(err, ErrFlow) {
		id, findErr := p.clientOf(ctx, r, flow)
		if findErr != nil {
			return FlowView{}, findErr
		}
		return FlowView{ClientID: id}, err
	}
	if err != nil {
		return FlowView{}, err
	}
	return FlowView{
		ClientID: a.client.ID, ClientName: a.client.NameIn(""), ClientNames: a.client.Names, LoginHint: a.loginHint, UILocales: a.uiLocales,
		RedirectOrigin: originOf(a.redirectURI), ClientURI: a.client.ClientURI,
		LogoURI: a.client.LogoURI, PolicyURI: a.client.PolicyURI, TermsURI: a.client.TermsURI,
		UnverifiedHost: unverified(a.client, a.redirectURI),
	}, nil
}

// clientOf finds the client of a flow that is over, or of another browser, so
// that the person can start again there. "" when nothing is known of it.
func (p *Provider) clientOf(ctx context.Context, r *realm.Realm, flow uuid.UUID) (string, error) {
	var id string
	err := p.db.QueryRow(ctx, `SELECT client_id FROM interactions WHERE id = $1 AND realm = $2`, flow, r.Name).Scan(&id)
	if errors.Is(err, database.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find client of the interaction: %w", err)
	}
	return id, nil
}

// finishFlow marks a flow as answered.
func finishFlow(now time.Time, id uuid.UUID) write {
	return write{`UPDATE interactions SET finished_at = $1 WHERE id = $2 AND finished_at IS NULL`, []any{now, id}, nil}
}

// agree stores that an account agreed to a flow, and remembers it for the next
// time. What was agreed to before stays agreed to.
func (p *Provider) agree(ctx context.Context, r *realm.Realm, a *authorization, accountID uuid.UUID, ip string) error {
	return p.db.InTx(ctx, func(ctx context.Context) error {
		now := p.db.Now(ctx)
		rows, err := p.db.Exec(ctx, `
			UPDATE interactions SET consented_by = $2, consented_at = $3, consented_to = $4
			WHERE id = $1 AND finished_at IS NULL`, a.flow.id, accountID, now, asShown(a.client))
		if err := database.ExactlyOne(rows, err, ErrFlow); err != nil {
			return fmt.Errorf("record consent in flow: %w", err)
		}
		if err := p.holdClient(ctx, r, a.client); err != nil {
			return err
		}
		scopes := a.agreed()
		var before string
		err = p.db.QueryRow(ctx, `SELECT scopes FROM consents WHERE realm = $1 AND account_id = $2 AND client_id = $3`,
			r.Name, accountID, a.client.ID).Scan(&before)
		if err == nil {
			scopes = append(strings.Fields(before), scopes...)
		} else if !errors.Is(err, database.ErrNoRows) {
			return fmt.Errorf("find consent: %w", err)
		}
		_, err = p.db.Exec(ctx, `
			INSERT INTO consents (realm, account_id, client_id, scopes, granted_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (realm, account_id, client_id) DO UPDATE SET scopes = excluded.scopes, granted_at = excluded.granted_at`,
			r.Name, accountID, a.client.ID, canonical(scopes), now)
		if err != nil {
			return fmt.Errorf("remember consent: %w", err)
		}
		return p.audit.Record(ctx, consentEvent(r, a, accountID, ip, "consent.given"))
	})
}

// holdClient keeps a client that registered itself from changing before the
// caller's transaction is over: what was agreed to is forgotten at a change, and
// must not come back after it. errStaleClient when it has changed already.
func (p *Provider) holdClient(ctx context.Context, r *realm.Realm, c *realm.Client) error {
	if !c.Registered {
		return nil
	}
	rows, err := p.db.Exec(ctx, `
		UPDATE registered_clients SET version = version WHERE realm = $1 AND client_id = $2 AND version = $3`, r.Name, c.ID, c.Version)
	if err := database.ExactlyOne(rows, err, errStaleClient); err != nil {
		return fmt.Errorf("hold the client's registration: %w", err)
	}
	return nil
}

// flowPath is a page of ours with the flow it works for.
func flowPath(r *realm.Realm, path string, flow uuid.UUID) string {
	return r.Path + path + "?" + url.Values{"flow": {flow.String()}}.Encode()
}
