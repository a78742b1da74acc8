package web

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
)

func TestForwardedForIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		trusted   []netip.Prefix
		want      string
	}{
		"nobody trusted":         {"203.0.113.9", []string{"1.2.3.4"}, nil, "203.0.113.9"},
		"typed by the visitor":   {"203.0.113.9", []string{"1.2.3.4"}, trusted, "203.0.113.9"},
		"one proxy":              {"10.0.0.1", []string{"203.0.113.9"}, trusted, "203.0.113.9"},
		"spoofed left of truth":  {"10.0.0.1", []string{"1.2.3.4, 203.0.113.9"}, trusted, "203.0.113.9"},
		"spoofed as trusted":     {"10.0.0.1", []string{"10.9.9.9, 203.0.113.9"}, trusted, "203.0.113.9"},
		"two proxies":            {"10.0.0.1", []string{"203.0.113.9, 10.0.0.2"}, trusted, "203.0.113.9"},
		"two header lines":       {"10.0.0.1", []string{"1.2.3.4", "203.0.113.9"}, trusted, "203.0.113.9"},
		"no header":              {"10.0.0.1", nil, trusted, "10.0.0.1"},
		"nonsense":               {"10.0.0.1", []string{"unknown"}, trusted, "10.0.0.1"},
		"nonsense in the middle": {"10.0.0.1", []string{"1.2.3.4, x, 10.0.0.2"}, trusted, "10.0.0.2"},
		"mapped IPv4":            {"::ffff:10.0.0.1", []string{"::ffff:203.0.113.9"}, trusted, "203.0.113.9"},
		"with a port":            {"fd00::1", []string{"[2001:db8::5]:4711"}, trusted, "2001:db8::5"},
		"zone":                   {"fe80::1%eth0", nil, trusted, "fe80::1"},
	} {
		if got := clientIP(netip.MustParseAddr(c.peer), c.forwarded, c.trusted).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestNetworkOfAHouseholdIsOne(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8:1:2::a"), netip.MustParseAddr("2001:db8:1:2:ffff::b")
	if NetworkOf(a) != NetworkOf(b) || NetworkOf(a) != "2001:db8:1:2::/64" {
		t.Errorf("%s and %s", NetworkOf(a), NetworkOf(b))
	}
	if NetworkOf(netip.MustParseAddr("203.0.113.9")) != "203.0.113.9" || NetworkOf(netip.Addr{}) != "unknown" {
		t.Error("IPv4 stands for itself, nothing for unknown")
	}
}

func TestPolicySources(t *testing.T) {
	for uri, want := range map[string]string{
		"https://rp.example.test/cb?x=1": "https://rp.example.test",
		"http://127.0.0.1:4711/callback": "http://127.0.0.1:4711",
		"http://[::1]:4711/callback":     "http:",
		"com.example.app:/cb":            "com.example.app:",
		"javascript:alert(1)":            "",
		"data:text/html,x":               "",
		"/relative":                      "",
		"https://a.test; script-src *":   "",
		"https://*.test/":                "",
		"https:///x":                     "",
		"https://a.test,b":               "",
		"":                               "",
	} {
		if got := policySource(uri); got != want {
			t.Errorf("%q: %q, want %q", uri, got, want)
		}
	}
}

func TestLinksToHereStayOnThisHost(t *testing.T) {
	r, err := realm.New(realm.Realm{Name: "patient", Issuer: "http://localhost:9000"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"/signin?flow=1":                "/signin?flow=1",
		"//evil.example.test/x":         "/",
		`/\evil.example.test`:           "/",
		"/%5Cevil.example.test":         "/",
		"http://evil.example.test/path": "/path",
		"/a%2Fb":                        "/a%2Fb",
	} {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequest("GET", "/", nil)
		c.Request.RequestURI = asked
		if got := (&state{realm: r}).here(c).String(); got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}

func TestEveryBrandColourCanBeRead(t *testing.T) {
	for _, color := range []string{
		"#0b5c8a", "#ffffff", "#000000", "#ffff00", "#ff0000", "#00ff00", "#0000ff", "#777777", "#808080", "#f90", "#7cc4ee",
		"#5e2ca5", "#00a19b", "#e8a33d", "#123456", "#fedcba",
	} {
		brand := mustColor(color)
		for name, look := range map[string]struct {
			grounds []rgb
			step    float64
		}{"light": {lightGrounds, -1}, "dark": {darkGrounds, +1}} {
			p := derive(brand, look.grounds, look.step)
			if contrast(p.brand, p.onBrand) < 4.5 || contrast(p.hover, p.onBrand) < 4.5 {
				t.Errorf("%s %s: button text on %s, hover %s", color, name, p.brand, p.hover)
			}
			for _, ground := range look.grounds {
				if contrast(p.brand, ground) < 3 || contrast(p.link, ground) < 4.5 {
					t.Errorf("%s %s: button %s or link %s on %s", color, name, p.brand, p.link, ground)
				}
			}
			if p.hover == p.brand {
				t.Errorf("%s %s: hover shows nothing", color, name)
			}
		}
	}
	if p := derive(mustColor("#0b5c8a"), lightGrounds, -1); p.brand != mustColor("#0b5c8a") || p.link != p.brand {
		t.Errorf("a good colour was changed: %s", p)
	}
	if got := contrast(white, black); got < 20.99 || got > 21.01 {
		t.Errorf("white on black is 21:1, not %.2f", got)
	}
}

func TestThemeIsDerivedOnceAndTold(t *testing.T) {
	var log bytes.Buffer
	r, err := realm.New(realm.Realm{Name: "patient", Issuer: "http://localhost:9000", Brand: realm.Brand{Color: "#ffcc00"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var ts themes
	first, again := ts.of(slog.New(slog.NewTextHandler(&log, nil)), r), ts.of(slog.New(slog.NewTextHandler(&log, nil)), r)
	if first != again || strings.Count(log.String(), "#ffcc00") != 1 {
		t.Errorf("log %q", log.String())
	}
	if !strings.HasPrefix(first.css, ":root{--brand:#") || !strings.Contains(first.css, "@media (prefers-color-scheme:dark)") {
		t.Errorf("css %q", first.css)
	}
}
