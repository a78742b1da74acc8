package oauth

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// frameSeconds is how long the page with the frames waits for them.
const frameSeconds = 5

// leavingView is oauth/leaving.html.
type leavingView struct {
	Frames []frame
	// Onward is registered for the client, or ours: an app's own scheme is fine.
	Onward template.URL
}

type frame struct{ Client, Address string }

// tellFrames shows a page that loads the logout pages of the clients that the
// session was used for, and goes on when they have loaded (OpenID Connect
// Front-Channel Logout §3). The policy of the page names their origins and no
// others. Without such clients the browser goes on at once.
func (p *Provider) tellFrames(c *gin.Context, r *realm.Realm, l logoutRequest, over *session.Session, used []*realm.Client) error {
	onward := l.onward(r)
	view := leavingView{Onward: template.URL(onward)} //nolint:gosec // registered, or ours
	for _, app := range used {
		if app.FrontchannelLogoutURI == "" || !web.Frame(c, app.FrontchannelLogoutURI) {
			continue
		}
		view.Frames = append(view.Frames, frame{app.NameIn(web.Lang(c)), withParameters(app.FrontchannelLogoutURI,
			url.Values{"iss": {r.Issuer}, "sid": {p.sid(r, app, over.ID)}})})
	}
	if len(view.Frames) == 0 {
		seeOther(c, onward)
		return nil
	}
	noStore(c)
	// Works without JavaScript; with it the page goes on as soon as it can.
	c.Header("Refresh", strconv.Itoa(frameSeconds)+"; url="+strings.NewReplacer("\r", "", "\n", "").Replace(onward))
	return p.pages.Render(c, http.StatusOK, "oauth/leaving.html", view)
}
