package server_test

import (
	"encoding/base32"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"
	"golang.org/x/oauth2"
)

// put is add for what is short.
func (s *secretsSeen) put(what, value string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[value] = what
}

var ownLink = regexp.MustCompile(`https?://[^\s"<>]+/(?:email|freeze)/([A-Za-z0-9_-]+)`)

// ownLinks lists the links of a person's letters that are not for a password.
func (w *world) ownLinks(address, kind string) (links []string) {
	for _, l := range w.mail.to(address, "/"+kind+"/") {
		for _, m := range ownLink.FindAllStringSubmatch(l.text, -1) {
			w.seen.put("token of a link", m[1])
			if strings.Contains(m[0], "/"+kind+"/") {
				links = append(links, m[0])
			}
		}
	}
	return links
}

// ownAccount is what people do about their own account: an app and its codes,
// another question, another address, and "this wasn't me".
func ownAccount(t *testing.T, w *world) {
	who, b, at := w.person(t, "patient"), w.browser(t), w.issuer("patient")
	portal := w.party(t, "patient", "portal")
	portal.signIn(b, who)

	setup := b.open(at+"/account/second-step/app").want(t, 200, "Set up an authenticator app")
	key := appKey.FindStringSubmatch(setup.body)
	if key == nil {
		t.Fatal(setup.says())
	}
	compact := strings.ReplaceAll(key[1], " ", "")
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(compact)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{key[1], compact, strings.ToLower(compact), string(raw)} {
		w.seen.put("key of the app", form)
	}
	code := func(in time.Duration) string {
		c, err := totp.GenerateCode(compact, time.Now().Add(in))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	shown := b.send(setup, "code", code(0)).want(t, 200, "Recovery codes")
	codes := recoveryCode.FindAllStringSubmatch(shown.body, -1)
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes", len(codes))
	}
	for _, c := range codes {
		w.seen.put("recovery code", c[1])
		w.seen.put("recovery code", strings.ReplaceAll(c[1], "-", ""))
	}
	// Two steps, a wrong code, and a code on paper.
	b = w.browser(t)
	a := portal.begin(oauth2.SetAuthURLParam("prompt", "login"))
	second := portal.enter(b, a, who, who.password).want(t, 200, "One more step")
	second = b.send(second, "code", "000000").want(t, 422, "One more step")
	onPaper := b.open(second.link(t, "Use a recovery code"))
	got := portal.finish(t, a, b.send(onPaper, "code", codes[0][1]))

	if p := b.send(b.open(at+"/account/question"), "question", "first_job_city", "answer", "Changed "+randomText(9)); p.status != http.StatusOK {
		t.Fatalf("another question: %d %s", p.status, p.says())
	}
	moved := "moved." + who.email
	b.send(b.open(at+"/account/email"), "new-email", moved).want(t, 200, "Check your new email")
	eventually(t, "the letter to the new address", func() bool { return len(w.ownLinks(moved, "email")) > 0 })
	b.through(w.ownLinks(moved, "email")[0])
	portal.renew(t, got.refresh)
	eventually(t, "the letter to the old address", func() bool { return len(w.ownLinks(who.email, "freeze")) > 1 })
	links := w.ownLinks(who.email, "freeze")
	mail := w.browser(t)
	mail.through(links[len(links)-1])
	if n := w.count(t, `SELECT COUNT(*) FROM accounts WHERE id = $1 AND frozen_at IS NOT NULL AND login_email = $2`, who.id, moved); n != 1 {
		t.Error("the account is not frozen, or has the old address")
	}
	w.canSignIn(t, &person{realm: "patient", email: moved}, who.password)
	w.ownLinks(moved, "freeze")
}

// through opens a link, presses its buttons until there are none, and says yes
// to what it is asked.
func (b *browser) through(link string) {
	b.t.Helper()
	p := b.open(link)
	for range 3 {
		if find(p.doc, func(n *html.Node) bool { return n.Data == "form" && attr(n, "method") == "post" }) == nil {
			return
		}
		if find(p.doc, func(n *html.Node) bool { return attr(n, "name") == "decision" }) == nil {
			p = b.send(p)
		} else {
			p = b.send(p, "decision", "yes")
		}
	}
}

// Nothing of what people do about their own account stays broken.
func TestOwnAccountFromTheAppToTheFreeze(t *testing.T) { each(t, ownAccount) }
