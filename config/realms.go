package config

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/templates"
)

func (c *Config) readRealms(s *section, admin *section) {
	sections := s.subs("realms")
	if _, there := s.entries["realms"]; !there || len(sections) == 0 && len(s.r.problems) == 0 {
		s.bad("there is no realm", "describe at least one under realms:, with name and issuer")
	}
	var all []*realm.Realm
	names := map[string]bool{}
	for _, sec := range sections {
		before := len(s.r.problems)
		r, clients := c.readRealm(sec)
		sec.done()
		names[r.Name] = true
		if len(s.r.problems) > before {
			continue
		}
		built, err := realm.New(r, clients)
		if err != nil {
			sec.bad(plain(err), "")
			continue
		}
		// Two that collide are reported at the second one.
		if _, err := realm.NewSet(append(all, built)); err != nil {
			sec.bad(plain(err), "choose another name or issuer")
			continue
		}
		all = append(all, built)
	}
	if c.AdminAPI.Enabled() && !names[c.AdminAPI.Realm] {
		e := admin.entries["realm"]
		e.bad(fmt.Sprintf("there is no realm %q", c.AdminAPI.Realm), "name one of the realms of this file")
	}
	set, err := realm.NewSet(all)
	if err != nil {
		s.bad(plain(err), "")
		return
	}
	c.realms = set
}

func (c *Config) readRealm(s *section) (realm.Realm, []*realm.Client) {
	name := s.need("name", "give the realm a short name, such as patient")
	if err := realm.CheckName(name.v); name.set && err != nil {
		name.bad(fmt.Sprintf("%q cannot be a name: %s", name.v, plain(err)), "choose another")
	}
	issuer := s.need("issuer", "write the realm's public address, such as https://id.example.test/"+name.v)
	if issuer.set {
		u, err := realm.CheckIssuer(issuer.v)
		if err != nil {
			issuer.bad(fmt.Sprintf("%q cannot be an issuer", issuer.v), plain(err))
		} else if u.Scheme == "https" && !c.TLS.Enabled() && len(c.TrustedProxies) == 0 {
			issuer.warn("the issuer is https, but there is neither a certificate here nor a trusted proxy",
				"set tls, or list your proxy under trusted_proxies so that clients' addresses are known")
		}
	}
	kind := realm.Practice
	if name.v == string(realm.Patient) {
		kind = realm.Patient
	}
	r := realm.Realm{
		Name: name.v, Issuer: issuer.v,
		Kind: realm.Kind(s.choice("kind", string(kind), string(realm.Patient), string(realm.Practice))),
		Home: s.webAddress("home"),
	}
	c.readLocales(s, &r)
	r.Brand = readBrand(s.sub("brand"), r.Name, r.Locales)
	d := realm.Defaults(r.Kind)
	r.Lifetimes = readLifetimes(s.sub("lifetimes"), d.Lifetimes, r.Kind)
	r.Factors = readFactors(s.sub("second_factor"), d.Factors, r.Kind)
	shortest := 15
	if r.Factors.Required == realm.SecondFactorEveryone {
		shortest = 8 // NIST SP 800-63B-4 §3.1.1.2
	}
	pw := s.sub("password")
	r.Password.MinLength = pw.number("min_length", d.Password.MinLength, shortest, 64)
	pw.done()
	r.Recovery = readRecovery(s.sub("recovery"), d.Recovery)
	r.SignIn = readSignIn(s.sub("sign_in"), d.SignIn)
	r.Staff = readStaff(s.sub("staff"), d.Staff)
	r.OAuth = c.readOAuth(s.sub("oauth"), d.OAuth, r.Name)

	c.readTestPeople(s, r)

	var clients []*realm.Client
	ids := map[string]bool{}
	for _, sec := range s.subs("clients") {
		cl := c.readClient(sec, r)
		sec.done()
		if ids[cl.ID] && cl.ID != "" {
			sec.bad(fmt.Sprintf("the client %q stands here twice", cl.ID), "give each client of a realm an id of its own")
		}
		ids[cl.ID] = true
		clients = append(clients, cl)
	}
	return r, clients
}

var colorPattern = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func readBrand(s *section, name string, locales []string) realm.Brand {
	defer s.done()
	color := s.text("color", "#0b5c8a")
	if !colorPattern.MatchString(color.v) {
		color.bad(fmt.Sprintf("%q is no colour", color.v), `write six hexadecimal digits in quotes, such as "#0b5c8a"`)
	}
	email := s.text("support_email", "")
	if email.set && !strings.Contains(email.v, "@") {
		email.bad(fmt.Sprintf("%q is no mail address", email.v), "write name@example.test")
	}
	translations := map[string]realm.BrandWords{}
	words := s.sub("translations")
	for _, lang := range locales {
		w := words.sub(lang)
		translations[lang] = realm.BrandWords{Name: w.text("name", "").v, SupportHours: w.text("support_hours", "").v}
		w.done()
	}
	words.doneLanguages()
	return realm.Brand{
		Translations: translations,
		Name:         s.text("name", name).v,
		Logo:         s.image("logo"),
		LogoDark:     s.image("logo_dark"),
		Color:        strings.ToLower(color.v),
		SupportPhone: s.text("support_phone", "").v,
		SupportEmail: email.v,
		SupportHours: s.text("support_hours", "").v,
		PrivacyURL:   s.webAddress("privacy_url"),
		HelpURL:      s.webAddress("help_url"),
	}
}

// image reads the name of a picture among the realm's static files. Pages load
// nothing from elsewhere: their content security policy says img-src 'self'.
func (s *section) image(key string) string {
	f := s.text(key, "")
	if f.set && (f.v == "" || strings.ContainsAny(f.v, `:\?#`) || strings.HasPrefix(f.v, "/") || slices.Contains(strings.Split(f.v, "/"), "..")) {
		f.bad(fmt.Sprintf("%q is no static file", f.v), "put the picture into templates_dir/static and write its name, such as logo.svg")
	}
	return f.v
}

func (c *Config) readLocales(s *section, r *realm.Realm) {
	locale := s.text("locale", "en")
	r.DefaultLocale = locale.v
	locales := s.texts("locales")
	for _, f := range append([]field[string]{locale}, locales...) {
		if tag, err := language.Parse(f.v); err != nil || tag.String() != f.v {
			f.bad(fmt.Sprintf("%q is no language", f.v), "write it as in en, es or es-MX")
		} else if !c.speaks(f.v, s.r.look) {
			f.bad(fmt.Sprintf("there are no sentences for %q", f.v), "put them into templates_dir/locales/"+f.v+".json, or remove the language")
		}
	}
	for _, f := range locales {
		if !slices.Contains(r.Locales, f.v) {
			r.Locales = append(r.Locales, f.v)
		}
	}
	if !slices.Contains(r.Locales, r.DefaultLocale) {
		r.Locales = append([]string{r.DefaultLocale}, r.Locales...)
	}
	zone := s.text("time_zone", "UTC")
	var err error
	if r.TimeZone, err = time.LoadLocation(zone.v); err != nil || zone.v == "" || zone.v == "Local" {
		zone.bad(fmt.Sprintf("%q is no time zone", zone.v), "write its IANA name, such as America/New_York")
	}
}

// speaks reports whether a language's sentences are built in or the operator's.
func (c *Config) speaks(lang string, look bool) bool {
	file := path.Join("locales", lang+".json")
	if _, err := fs.Stat(templates.FS, file); err == nil {
		return true
	}
	if c.TemplatesDir == "" {
		return false
	}
	if !look {
		return true
	}
	_, err := os.Stat(filepath.Join(c.TemplatesDir, filepath.FromSlash(file)))
	return err == nil
}

// readLifetimes lets most lifetimes only be lowered: the defaults are the
// longest that the rules for health data and for tokens allow.
func readLifetimes(s *section, d realm.Lifetimes, kind realm.Kind) realm.Lifetimes {
	defer s.done()
	keep := s.kept(kind)
	l := realm.Lifetimes{
		Code:             s.duration("code", d.Code, 10*time.Second, realm.MaxCode),
		AccessToken:      s.duration("access_token", d.AccessToken, 30*time.Second, realm.MaxAccessToken),
		IDToken:          s.duration("id_token", d.IDToken, 30*time.Second, time.Hour),
		RefreshIdle:      s.duration("refresh_idle", d.RefreshIdle, time.Minute, d.GrantAbsolute),
		GrantAbsolute:    s.duration("grant", d.GrantAbsolute, time.Minute, d.GrantAbsolute),
		SessionIdle:      s.duration("session_idle", d.SessionIdle, time.Minute, d.SessionIdle),
		SessionAbsolute:  s.duration("session", d.SessionAbsolute, 5*time.Minute, d.SessionAbsolute),
		ResetLink:        s.duration("reset_link", d.ResetLink, 10*time.Minute, realm.MaxResetLink),
		Invitation:       s.duration("invitation", d.Invitation, time.Hour, 30*day),
		Interaction:      s.duration("interaction", d.Interaction, 5*time.Minute, 2*time.Hour),
		Reauthentication: s.duration("reauthentication", d.Reauthentication, 30*time.Second, d.Reauthentication),
		StaffAction:      s.duration("staff_action", d.StaffAction, 30*time.Second, d.StaffAction),
		EmailLink:        s.duration("email_link", d.EmailLink, 10*time.Minute, 7*day),
		FreezeLink:       s.duration("freeze_link", d.FreezeLink, time.Hour, 30*day),
		KeptSession:      keep.v,
	}
	for _, pair := range []struct {
		inner, outer string
		a, b         time.Duration
	}{
		{"session_idle", "session", l.SessionIdle, l.SessionAbsolute},
		{"refresh_idle", "grant", l.RefreshIdle, l.GrantAbsolute},
	} {
		if pair.a > pair.b {
			s.bad(fmt.Sprintf("%s (%s) is longer than %s (%s)", pair.inner, showDuration(pair.a), pair.outer, showDuration(pair.b)),
				"shorten the first or lengthen the second")
		}
	}
	return l
}

// kept is how long a browser stays signed in that asks for it. Only a realm for
// patients may offer that: staff see the records of many people.
func (s *section) kept(kind realm.Kind) field[time.Duration] {
	e, there := s.entries["kept_session"]
	f := field[time.Duration]{mark: e.mark, v: s.duration("kept_session", 0, 0, 90*day), set: there}
	if f.v > 0 && kind != realm.Patient {
		f.bad("staff cannot be kept signed in", "remove kept_session: it is for realms of the kind patient")
	}
	return f
}

func readFactors(s *section, d realm.SecondFactorPolicy, kind realm.Kind) realm.SecondFactorPolicy {
	defer s.done()
	p := realm.SecondFactorPolicy{
		Grace:             s.duration("grace", d.Grace, 0, 90*day),
		TriesPerSignIn:    s.number("tries_per_sign_in", d.TriesPerSignIn, 1, d.TriesPerSignIn),
		TriesPerDay:       s.number("tries_per_day", d.TriesPerDay, 1, d.TriesPerDay),
		PasskeysPerPerson: s.number("passkeys_per_person", d.PasskeysPerPerson, 1, 50),
	}
	if required := s.choice("required", "nobody", "nobody", "roles", "everyone"); required != "nobody" {
		p.Required = required
	}
	at := s.entries["roles"]
	p.Roles = s.someOf("roles", realm.StaffRoles, "roles there are")
	switch {
	case p.Required == realm.SecondFactorRoles && kind != realm.Practice:
		s.bad("only staff have roles, and this realm is for patients", "set required to nobody or everyone")
	case p.Required == realm.SecondFactorRoles && len(p.Roles) == 0:
		s.bad("no role is named", "list them under roles: "+strings.Join(realm.StaffRoles, ", "))
	case p.Required != realm.SecondFactorRoles && len(p.Roles) > 0:
		at.bad("roles are named, but the second factor is not required by role", "set required to roles, or remove the list")
	}
	return p
}

func readRecovery(s *section, d realm.RecoveryPolicy) realm.RecoveryPolicy {
	defer s.done()
	return realm.RecoveryPolicy{
		AnswerTriesPerLink:        s.number("answer_tries_per_link", d.AnswerTriesPerLink, 1, d.AnswerTriesPerLink),
		AnswerTriesPerDay:         s.number("answer_tries_per_day", d.AnswerTriesPerDay, 1, d.AnswerTriesPerDay),
		AnswerLock:                s.duration("answer_lock", d.AnswerLock, time.Hour, 30*day),
		AbsorbRepeats:             s.duration("absorb_repeats", d.AbsorbRepeats, 0, time.Hour),
		LinksPerDay:               s.number("links_per_day", d.LinksPerDay, 1, 100),
		StaffLinksPerDay:          s.number("staff_links_per_day", d.StaffLinksPerDay, 1, 100),
		InvitationsPerDay:         s.number("invitations_per_day", d.InvitationsPerDay, 1, 100),
		EmailChangesPerDay:        s.number("email_changes_per_day", d.EmailChangesPerDay, 1, 100),
		FreezesPerNetworkPerHour:  s.number("freezes_per_network_per_hour", d.FreezesPerNetworkPerHour, 1, 10000),
		QuestionChangesPerHour:    s.number("question_changes_per_hour", d.QuestionChangesPerHour, 1, 1000),
		ChoicesPerHour:            s.number("choices_per_hour", d.ChoicesPerHour, 5, 1000),
		RecentEmailChange:         s.duration("recent_email_change", d.RecentEmailChange, d.RecentEmailChange, 90*day),
		RequestsPerNetworkPerHour: s.number("requests_per_network_per_hour", d.RequestsPerNetworkPerHour, 1, 10000),
		RealmRequestsPerHour:      s.number("realm_requests_per_hour", d.RealmRequestsPerHour, 1, 1000000),
	}
}

func readSignIn(s *section, d realm.SignInPolicy) realm.SignInPolicy {
	defer s.done()
	return realm.SignInPolicy{
		DelayFromFailure:   s.number("delay_from_failure", d.DelayFromFailure, 1, 20),
		FirstDelay:         s.duration("first_delay", d.FirstDelay, time.Second, time.Minute),
		MaxDelay:           s.duration("max_delay", d.MaxDelay, time.Minute, 24*time.Hour),
		DisableAtFailures:  s.number("disable_at_failures", d.DisableAtFailures, 10, d.DisableAtFailures),
		AttemptsPerNetwork: s.number("attempts_per_network_per_hour", d.AttemptsPerNetwork, 10, 1000000),
		// More than one session has before it ends: else whoever stole one uses up those of all.
		ConfirmTriesPerDay: s.number("confirm_tries_per_day", d.ConfirmTriesPerDay, d.DisableAtFailures+d.DisableAtFailures/2, 10*d.DisableAtFailures),

		ForgetFailures:      s.duration("forget_failures", d.ForgetFailures, time.Hour, 30*day),
		ForgetStreak:        s.duration("forget_streak", d.ForgetStreak, 30*day, 730*day),
		NewDevicesPerDay:    s.number("new_devices_per_day", d.NewDevicesPerDay, 1, 50),
		TurnedAwayRecorded:  s.number("turned_away_recorded_per_hour", d.TurnedAwayRecorded, 1, 10000),
		KnownDevice:         s.duration("known_device", d.KnownDevice, day, 400*day), // browsers keep no cookie longer
		InteractionsPerHour: s.number("interactions_per_network_per_hour", d.InteractionsPerHour, 10, 1000000),
	}
}

func readStaff(s *section, d realm.StaffPolicy) realm.StaffPolicy {
	defer s.done()
	return realm.StaffPolicy{
		LooksPerMinute: s.number("looks_per_minute", d.LooksPerMinute, 10, 10000),
		ChangesPerHour: s.number("changes_per_hour", d.ChangesPerHour, 1, 10000),

		InvitationsPerDay:  s.number("invitations_per_day", d.InvitationsPerDay, 1, 10000),
		EmailChangesPerDay: s.number("email_changes_per_day", d.EmailChangesPerDay, 1, 10000),
	}
}

func (c *Config) readOAuth(s *section, d realm.OAuthPolicy, name string) realm.OAuthPolicy {
	defer s.done()
	if c.AdminAPI.Enabled() && c.AdminAPI.Realm == name {
		for _, scope := range []string{realm.ScopeAdminRead, realm.ScopeAdminManage} {
			d.Scopes = append(d.Scopes, scope)
			d.ScopeAudiences[scope] = c.AdminAPI.Audience
		}
	}
	readRequests(s, &d)
	readRegistration(s, &d)
	if grants := s.someOf("grant_types", d.GrantTypes, "this release knows"); grants != nil {
		d.GrantTypes = grants
	}
	d.AccessTokenAlg = s.choice("access_token_alg", d.AccessTokenAlg, realm.ES256, realm.RS256)
	d.IDTokenAlg = s.choice("id_token_alg", d.IDTokenAlg, realm.ES256, realm.RS256)
	if manage := s.flag("session_management", false); manage.v {
		d.SessionManagement = true
		manage.warn("a cookie that scripts can read travels into frames of other sites", "leave session_management out unless a client needs check_session_iframe")
	}
	d.RefreshGrace = s.duration("refresh_grace", d.RefreshGrace, 0, d.RefreshGrace)
	return d
}

// someOf reads a list of words out of those that are allowed; nil when absent.
func (s *section) someOf(key string, allowed []string, whose string) []string {
	var list []string
	for _, f := range s.texts(key) {
		switch {
		case !slices.Contains(allowed, f.v):
			f.bad(fmt.Sprintf("%q is not among what %s", f.v, whose), "choose from: "+strings.Join(allowed, ", "))
		case slices.Contains(list, f.v):
			f.bad(fmt.Sprintf("%q stands here twice", f.v), "remove one of them")
		default:
			list = append(list, f.v)
		}
	}
	return list
}

// webAddress reads an optional URL a browser may be sent to.
func (s *section) webAddress(key string) string {
	f := s.text(key, "")
	if f.set {
		u, err := url.Parse(f.v)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !realm.Loopback(u.Hostname())) {
			f.bad(fmt.Sprintf("%q is no address to send a browser to", f.v), "write an https:// URL (http only for localhost)")
		}
	}
	return f.v
}
