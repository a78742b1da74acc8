package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// Clients that registered themselves are strangers: nobody of the realm has
// looked at their name, and their address may be anybody's.

// unverified is the host that a person will be sent to by an app the realm has
// not verified; "" for a client of the configuration.
func unverified(c *realm.Client, redirectURI string) string {
	if !c.Registered {
		return ""
	}
	return hostOf(redirectURI)
}

// hostOf is what people can recognise of an address: its host, or the scheme of
// an app. Registered URIs are ASCII, so no letter looks like another one.
func hostOf(uri string) string {
	return strings.TrimPrefix(strings.TrimPrefix(originOf(uri), "https://"), "http://")
}

// asShown is a fingerprint of a client as somebody sees it who agrees to it:
// under another name, with other addresses to go to, with another version of
// its registration it is another client.
func asShown(c *realm.Client) string {
	h := sha256.New()
	names := slices.Sorted(maps.Values(c.Names))
	for _, text := range slices.Concat([]string{strconv.FormatInt(c.Version, 10), c.Name, c.ClientURI}, names, c.RedirectURIs) {
		_, _ = fmt.Fprintf(h, "%d:%s,", len(text), text)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// mistrusted reports whether the browser follows the client's redirect URI only
// when its person says so. Where anybody may register, a link to this server
// with a bad parameter or prompt=none would otherwise lead to any site at all,
// under our name (RFC 9700 §4.11.2). Who had an initial access token was
// trusted by the realm, and a conformance realm trusts everybody.
func mistrusted(r *realm.Realm, c *realm.Client) bool {
	return c.Registered && r.OAuth.Registration.Mode == realm.RegistrationOpen && !r.OAuth.Registration.TrustRedirects
}

// leaveView is oauth/leave.html. With Parameters the answer is posted, else
// Action is followed.
type leaveView struct {
	Client, Host string
	Action       template.URL
	Parameters   []formPostParameter
}

// askToLeave shows a page that names the place an answer would go to. It sends
// nothing by itself.
func (p *Provider) askToLeave(c *gin.Context, a *authorization, parameters url.Values) error {
	web.PreferLang(c, a.uiLocales)
	view := leaveView{Client: a.client.NameIn(web.Lang(c)), Host: hostOf(a.redirectURI)}
	if a.mode == modeFormPost {
		view.Action, view.Parameters = template.URL(a.redirectURI), formPostParameters(parameters) //nolint:gosec // registered
		web.FormAction(c, originOf(a.redirectURI))
	} else {
		view.Action = template.URL(a.location(parameters)) //nolint:gosec // registered
	}
	noStore(c)
	return p.pages.Render(c, http.StatusBadRequest, "oauth/leave.html", view)
}
