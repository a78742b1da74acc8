package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
)

// asset is a file of static/, in memory.
type asset struct {
	hash, kind string
	body       []byte
}

// Named here because the machine's own table may be missing or different.
var assetKinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".ico": "image/x-icon",
	".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2",
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

func loadAssets(fsys fs.FS) (map[string]asset, error) {
	files, err := fs.Glob(fsys, "static/*.*")
	if err != nil {
		return nil, fmt.Errorf("list static files: %w", err)
	}
	assets := map[string]asset{}
	for _, file := range files {
		body, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("read static file: %w", err)
		}
		ext := strings.ToLower(path.Ext(file))
		kind := assetKinds[ext]
		if kind == "" {
			kind = mime.TypeByExtension(ext)
		}
		if kind == "" {
			return nil, fmt.Errorf("%s: unknown kind of file", file)
		}
		assets[path.Base(file)] = asset{hashOf(body), kind, body}
	}
	return assets, nil
}

func (p *Pages) assetURL(prefix, name string) (string, error) {
	a, ok := p.assets[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return prefix + "/static/" + a.hash + "/" + name, nil
}

// AssetURL is the address of a static file of a realm, for answers that are no
// pages of this package.
func (p *Pages) AssetURL(r *realm.Realm, name string) (string, error) {
	return p.assetURL(r.Path, name)
}

// logoURL turns a logo of the configuration into an address: the name of a
// file below static/, a path, or an https URL.
func (p *Pages) logoURL(r *realm.Realm, logo string) string {
	if address, err := p.assetURL(r.Path, logo); err == nil {
		return address
	}
	return logo
}

// logoOrigins are the origins that a realm's logos are loaded from, where that
// is not the realm's own.
func logoOrigins(r *realm.Realm) []string {
	var origins []string
	for _, logo := range []string{r.Brand.Logo, r.Brand.LogoDark} {
		u, err := url.Parse(logo)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || !hostPattern.MatchString(u.Host) {
			continue
		}
		if origin := u.Scheme + "://" + u.Host; origin != r.Origin() && !contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return origins
}

// Check tells at start what is wrong with the realms' looks: a logo that no
// file answers to, a colour that is none.
func (p *Pages) Check(realms []*realm.Realm) error {
	for _, r := range realms {
		for _, logo := range []string{r.Brand.Logo, r.Brand.LogoDark} {
			u, err := url.Parse(logo)
			if err != nil {
				return fmt.Errorf("realm %s: logo: %w", r.Name, err)
			}
			if _, ok := p.assets[logo]; logo != "" && !ok && u.Scheme == "" && !strings.HasPrefix(logo, "/") {
				return fmt.Errorf("realm %s: logo %q: no such file in static/ of the templates", r.Name, logo)
			}
		}
		if _, err := parseColor(r.Brand.Color); r.Brand.Color != "" && err != nil {
			return fmt.Errorf("realm %s: brand colour: %w", r.Name, err)
		}
		for _, lang := range r.Locales {
			if !contains(p.catalog.Languages(), lang) {
				return fmt.Errorf("realm %s: locale %q: there is no locales/%s.json", r.Name, lang, lang)
			}
		}
		p.themes.of(p.log, r)
	}
	return nil
}

// Mount adds the routes of the static files to a realm's router.
func (p *Pages) Mount(g gin.IRouter) {
	g.GET("/static/:hash", Handle(p.theme))
	g.GET("/static/:hash/:file", Handle(p.static))
}

func (p *Pages) static(c *gin.Context) error {
	a, ok := p.assets[c.Param("file")]
	if !ok {
		return NotFound()
	}
	send(c, a, c.Param("hash") == a.hash)
	return nil
}

func (p *Pages) theme(c *gin.Context) error {
	s := stateOf(c)
	hash, ok := strings.CutPrefix(strings.TrimSuffix(c.Param("hash"), ".css"), "theme-")
	if !ok || s.realm == nil {
		return NotFound()
	}
	t := p.themes.of(p.log, s.realm)
	send(c, asset{t.hash, assetKinds[".css"], []byte(t.css)}, hash == t.hash)
	return nil
}

// send answers with a file. Under its own hash it may be kept for ever. Under
// another one it is still sent, but not kept: during an update the page of one
// version asks a replica of the other for its stylesheet.
func send(c *gin.Context, a asset, exact bool) {
	if exact {
		c.Header("Cache-Control", "public, max-age=31536000, immutable")
	}
	c.Header("ETag", `"`+a.hash+`"`)
	if c.GetHeader("If-None-Match") == `"`+a.hash+`"` {
		c.Status(http.StatusNotModified)
		return
	}
	c.Data(http.StatusOK, a.kind, a.body)
}
