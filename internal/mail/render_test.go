package mail

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/templates"
)

func sample(t testing.TB, kind Kind, lang string) Letter {
	return Letter{Realm: patientRealm(t), Kind: kind, To: "maria@example.test", Locale: lang, Data: map[string]string{
		"link": testLink, "until": "2025-03-06T14:12:00Z", "when": "2025-03-04T14:12:00Z", "device": "Firefox on Linux",
		"practice": "Riverside Pediatrics", "practice_phone": "555-0199", "inviter": "Riverside Pediatrics", "new_masked": "m•••@example.test", "masked": "n•••@example.test",
		"freeze": testFreeze, "what": "passkey_added", "password": "gone", "factors": "gone", "question": "none",
	}}
}

const testFreeze = "https://id.example.test/patient/freeze/invented"

// The subjects, preheaders and sentences that people were promised.
func TestLettersSayWhatTheyShould(t *testing.T) {
	const en, es = "Thursday, March 6, 2025, 9:12 AM EST (UTC−5)", "jueves 6 de marzo de 2025, 9:12 a. m. EST (UTC−5)"
	const whenEN, whenES = "Tuesday, March 4, 2025, 9:12 AM EST (UTC−5)", "martes 4 de marzo de 2025, 9:12 a. m. EST (UTC−5)"
	r := renderer(t)
	for _, c := range []struct {
		kind               Kind
		lang               string
		subject, preheader string
		says               []string
		button             string // where it leads
		freeze             bool   // "this wasn't me" stands below the button
	}{
		{Reset, "en", "Reset your Patient Portal password", "Works until " + en, []string{"until " + en + " (48 hours) and only once", "Not you? Ignore this email; nothing changes.", "call 555-0100"}, testLink, false},
		{Reset, "es", "Restablezca su contraseña de Patient Portal", "Funciona hasta el " + es, []string{"hasta el " + es + " (48 horas) y una sola vez", "¿No fue usted?", "llame al 555-0100"}, testLink, false},
		{ResetStaff, "en", "Riverside Pediatrics sent you a password link", "Works until " + en, []string{"(48 hours)", "current password works until you choose a new one", "Call Riverside Pediatrics at 555-0199"}, testLink, false},
		{ResetStaff, "es", "Riverside Pediatrics le envió un enlace para su contraseña", "Funciona hasta el " + es, []string{"contraseña actual funciona hasta que elija una nueva", "Llame a Riverside Pediatrics al 555-0199"}, testLink, false},
		{Invite, "en", "Set up your Patient Portal account", "Works until " + en, []string{"Riverside Pediatrics invited you"}, testLink, false},
		{Invite, "es", "Configure su cuenta de Patient Portal", "Funciona hasta el " + es, []string{"Riverside Pediatrics le invita"}, testLink, false},
		{VerifyEmail, "en", "Confirm your new email", "Works until " + en, nil, testLink, false},
		{VerifyEmail, "es", "Confirme su correo electrónico nuevo", "Funciona hasta el " + es, nil, testLink, false},
		{PasswordChanged, "en", "Your Patient Portal password was changed", "Not you? Act now", []string{whenEN, "Device: Firefox on Linux", "Reset your password now and call 555-0100"}, "https://id.example.test/patient/forgot", true},
		{PasswordChanged, "es", "Se cambió su contraseña de Patient Portal", "¿No fue usted? Actúe ahora", []string{whenES, "Dispositivo: Firefox on Linux", "Restablezca su contraseña ahora y llame al 555-0100"}, "https://id.example.test/patient/forgot", true},
		{EmailChanged, "en", "Your sign-in email was changed", "Not you? Call us", []string{"m•••@example.test", "Not you? Call 555-0100"}, testFreeze, false},
		{EmailChanged, "es", "Cambió el correo electrónico con el que inicia sesión", "¿No fue usted? Llámenos", []string{"m•••@example.test", "Llame de inmediato al 555-0100"}, testFreeze, false},
		{EmailChangedNew, "en", "Your sign-in email was changed", "Sign in to Patient Portal with this address", nil, "https://portal.example.test/", false},
		{EmailChangedNew, "es", "Cambió el correo electrónico con el que inicia sesión", "Inicie sesión en Patient Portal con esta dirección", nil, "https://portal.example.test/", false},
		{QuestionChanged, "en", "Your sign-in settings changed", "Not you? Act now", []string{"security question", whenEN, "Firefox on Linux"}, "https://id.example.test/patient/account", true},
		{QuestionChanged, "es", "Cambió su configuración de inicio de sesión", "¿No fue usted? Actúe ahora", []string{"pregunta de seguridad", whenES, "Firefox on Linux"}, "https://id.example.test/patient/account", true},
		{FactorChanged, "en", "Your sign-in settings changed", "Not you? Act now", []string{"A passkey was added", whenEN, "Firefox on Linux", "lock your account"}, "https://id.example.test/patient/account", true},
		{FactorChanged, "es", "Cambió su configuración de inicio de sesión", "¿No fue usted? Actúe ahora", []string{"Se agregó una llave de acceso", whenES, "bloquee su cuenta"}, "https://id.example.test/patient/account", true},
		{EmailChangeAsked, "en", "Riverside Pediatrics wants to change your sign-in email", "Nothing changes until you allow it", []string{"m•••@example.test", "until " + en, "Call Riverside Pediatrics at 555-0199"}, testLink, true},
		{EmailChangeAsked, "es", "Riverside Pediatrics quiere cambiar el correo con el que inicia sesión", "Nada cambia hasta que usted lo permita", []string{"m•••@example.test", "hasta el " + es}, testLink, true},
		{EmailInUse, "en", "Somebody entered your Patient Portal email", "Nothing changed", []string{"You sign in as before"}, "", false},
		{EmailInUse, "es", "Alguien escribió su correo de Patient Portal", "No cambió nada", []string{"como antes"}, "", false},
		{AccountFrozen, "en", "A Patient Portal account was locked", "Its owner needs your help", []string{"n•••@example.test", whenEN, "the number you have on file"}, "", false},
		{AccountFrozen, "es", "Se bloqueó una cuenta de Patient Portal", "Su titular necesita ayuda", []string{"n•••@example.test", whenES}, "", false},
		{FrozenNotice, "en", "Your Patient Portal account is locked", "Call us to unlock it", []string{whenEN, "Call 555-0100"}, "", false},
		{FrozenNotice, "es", "Su cuenta de Patient Portal está bloqueada", "Llámenos para desbloquearla", []string{whenES, "Llame al 555-0100"}, "", false},
		{AccountUnfrozen, "en", "Your Patient Portal account is unlocked", "Not you? Act now", []string{whenEN, "Riverside Pediatrics unlocked it", "Your old password does not work any more", "no security question now", "Call 555-0100, and we make sure", "We removed the second steps", "Did you not ask for this? Call 555-0100"}, "https://id.example.test/patient/forgot", true},
		{AccountUnfrozen, "es", "Su cuenta de Patient Portal está desbloqueada", "¿No fue usted? Actúe ahora", []string{whenES, "La desbloqueó Riverside Pediatrics", "Su contraseña anterior ya no funciona", "no tiene ahora una pregunta de seguridad", "Quitamos los segundos pasos"}, "https://id.example.test/patient/forgot", true},
		{AccountUnfrozenOld, "en", "A Patient Portal account of yours was unlocked", "Not you? Call us", []string{whenEN, "Riverside Pediatrics unlocked it", "another address", "Call 555-0100 at once"}, "", false},
		{AccountUnfrozenOld, "es", "Se desbloqueó una cuenta suya de Patient Portal", "¿No fue usted? Llámenos", []string{whenES, "otra dirección", "de inmediato al 555-0100"}, "", false},
	} {
		t.Run(string(c.kind)+" "+c.lang, func(t *testing.T) {
			got, err := r.Render(sample(t, c.kind, c.lang))
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject != c.subject || got.Preheader != c.preheader || got.Lang != c.lang {
				t.Errorf("%q %q %q", got.Subject, got.Preheader, got.Lang)
			}
			page := look(t, got.HTML)
			for _, s := range append(c.says, "555-0100", "help@example.test", "Mon–Fri 8–17") {
				if !strings.Contains(got.Text, s) || !strings.Contains(page.text, s) {
					t.Errorf("%q is missing in\n%s\n%s", s, got.Text, page.text)
				}
			}
			var links []string
			if c.button != "" {
				links = append(links, c.button, c.button)
			}
			if c.freeze {
				links = append(links, testFreeze)
				if strings.Count(got.Text, "\n"+testFreeze+"\n") != 1 {
					t.Errorf("no way to freeze the account in the text:\n%s", got.Text)
				}
			}
			if !slices.Equal(page.links, links) {
				t.Errorf("links %q, want %q", page.links, links)
			}
			if c.button != "" && (!strings.Contains(page.text, c.button) || strings.Count(got.Text, "\n"+c.button+"\n") != 1) {
				t.Errorf("the full URL is not once in the text:\n%s", got.Text)
			}
			if !strings.Contains(page.text, c.preheader) || page.lang != c.lang {
				t.Errorf("preheader or lang %q", page.lang)
			}
			for _, s := range []string{got.Text, page.text} {
				if strings.Contains(s, "{") || strings.Contains(s, "mail.") || strings.Contains(s, "<no value>") || strings.Contains(s, "ZgotmplZ") {
					t.Errorf("unfinished: %s", s)
				}
			}
			if strings.Contains(got.Text, "\n\n\n") {
				t.Errorf("gaps:\n%s", got.Text)
			}
			if dir := os.Getenv("PORTICO_MAIL_PREVIEWS"); dir != "" {
				name := filepath.Join(dir, string(c.kind)+"."+c.lang)
				_ = os.WriteFile(name+".html", []byte(got.HTML), 0o600)
				_ = os.WriteFile(name+".txt", []byte("Subject: "+got.Subject+"\n\n"+got.Text), 0o600)
			}
		})
	}
}

type page struct {
	lang, text string
	links      []string
}

// look reads a letter's HTML and refuses what a mail must not have.
func look(t *testing.T, source string) page {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	var p page
	var text strings.Builder
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent.Data != "style":
			text.WriteString(n.Data)
		case n.Type == html.ElementNode:
			attr := map[string]string{}
			for _, a := range n.Attr {
				attr[a.Key] = a.Val
			}
			switch n.Data {
			case "html":
				p.lang = attr["lang"]
			case "a":
				p.links = append(p.links, attr["href"])
			case "img", "script", "link", "iframe", "form", "object":
				t.Errorf("a letter has no <%s>", n.Data)
			case "table":
				if attr["role"] != "presentation" {
					t.Error("a table without role=presentation")
				}
			}
			if attr["src"] != "" || strings.Contains(attr["style"], "url(") {
				t.Errorf("<%s> loads something", n.Data)
			}
		}
	}
	p.text = strings.Join(strings.Fields(text.String()), " ")
	return p
}

func TestEveryKindHasEveryLanguage(t *testing.T) {
	r := renderer(t)
	for _, kind := range Kinds() {
		var seen []string
		for _, lang := range []string{"en", "es"} {
			got, err := r.Render(sample(t, kind, lang))
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, got.Text)
		}
		if seen[0] == seen[1] {
			t.Errorf("%s reads the same in both languages", kind)
		}
	}
}

func TestALetterSpeaksTheRealmsLanguageWhenItCannotTheRecipients(t *testing.T) {
	r := renderer(t)
	for want, cases := range map[string][]string{"en": {"", "fr", "en-GB", "x"}, "es": {"es", "es-MX", "es-US"}} {
		for _, lang := range cases {
			got, err := r.Render(sample(t, Reset, lang))
			if err != nil || got.Lang != want {
				t.Errorf("%q became %q, %v", lang, got.Lang, err)
			}
		}
	}
	l := sample(t, Reset, "es")
	onlyEnglish := *l.Realm
	onlyEnglish.Locales = []string{"en"}
	l.Realm = &onlyEnglish
	if got, _ := r.Render(l); got.Lang != "en" {
		t.Error("a realm speaks a language it does not have")
	}
}

func TestValuesAreEscaped(t *testing.T) {
	r := renderer(t)
	for _, kind := range Kinds() {
		l := sample(t, kind, "en")
		for name, v := range l.Data {
			if name != "link" && name != "freeze" && name != "until" && name != "when" {
				l.Data[name] = v + `<b>"&</b>{{.}}`
			}
		}
		l.Data["link"], l.Data["freeze"] = `javascript:alert(1)`, `javascript:alert(2)`
		bad := *l.Realm
		bad.Brand.Color = `red;background:url(https://evil.example.test)`
		bad.Brand.Name = "Portal\r\n<i>"
		l.Realm = &bad
		got, err := r.Render(l)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.HTML, "<b>") || strings.Contains(got.HTML, "<i>") || strings.Contains(got.HTML, `href="javascript`) || strings.Contains(got.HTML, "evil") {
			t.Error(got.HTML)
		}
		if strings.ContainsAny(got.Subject, "\r\n") {
			t.Errorf("%q", got.Subject)
		}
	}
}

func TestShortNoticesWorkWithoutSupport(t *testing.T) {
	r := renderer(t)
	for _, kind := range Kinds() {
		l := sample(t, kind, "en")
		bare := *l.Realm
		bare.Brand.SupportPhone, bare.Brand.SupportEmail, bare.Brand.SupportHours, bare.Home = "", "", "", ""
		bare.Lifetimes.ResetLink = bare.Lifetimes.ResetLink + 1
		l.Realm = &bare
		delete(l.Data, "practice_phone")
		delete(l.Data, "device")
		got, err := r.Render(l)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.Text, "555") || strings.Contains(got.Text, "  ") || strings.Contains(got.Text, "hours)") {
			t.Error(got.Text)
		}
	}
}

func TestTemplatesAreReplacedFileByFile(t *testing.T) {
	cat, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	override := fstest.MapFS{"mail/reset.txt": {Data: []byte(`{{define "subject"}}Ours{{end}}{{define "preheader"}}P{{end}}{{define "body"}}Body {{.Link}}{{end}}`)}}
	r, err := NewRenderer(templates.FS, override, cat)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Render(sample(t, Reset, "en"))
	if err != nil || got.Subject != "Ours" || !strings.Contains(got.Text, "Body "+testLink) {
		t.Error(got, err)
	}
	override["mail/reset.txt"].Data = []byte(`{{define "subject"}}Ours{{end}}`)
	if _, err := NewRenderer(templates.FS, override, cat); err == nil {
		t.Error("a template without its parts was accepted")
	}
}

func TestTheButtonCanBeRead(t *testing.T) {
	for color, want := range map[string][2]string{
		"#0b5c8a": {"#0b5c8a", "#ffffff"}, "#ffee00": {"#ffee00", "#000000"}, "#000000": {"#000000", "#ffffff"},
		"": {"#0b5c8a", "#ffffff"}, "blue": {"#0b5c8a", "#ffffff"},
	} {
		r := *patientRealm(t)
		r.Brand.Color = color
		if back, front := button(&r); back != want[0] || front != want[1] {
			t.Errorf("%q: %s on %s", color, front, back)
		}
	}
}

// Strings of letters that no letter uses would rot.
func TestNoSentenceIsLeftOver(t *testing.T) {
	var all strings.Builder
	files, _ := filepath.Glob("../../templates/mail/*.*")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	cat, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	plural := regexp.MustCompile(`\.(one|other)$`)
	for _, key := range cat.Keys("en") {
		if strings.HasPrefix(key, "mail.") && !strings.Contains(all.String(), `"`+plural.ReplaceAllString(key, "")+`"`) {
			t.Errorf("%s is not used", key)
		}
	}
}
