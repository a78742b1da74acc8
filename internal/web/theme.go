package web

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/portico-id/portico/internal/realm"
)

// A realm has one brand colour. From it come the colours of buttons and links
// in light and dark: the hue stays, the lightness moves until text has 4.5:1
// against what it stands on, and buttons 3:1 against what they lie on
// (WCAG 2.2 §1.4.3, §1.4.11).

// The backgrounds of the stylesheet, which a brand colour has to get along with.
var (
	lightGrounds = []rgb{mustColor("#ffffff"), mustColor("#f4f6f8"), mustColor("#e9f2f8")}
	darkGrounds  = []rgb{mustColor("#1a2128"), mustColor("#11161b"), mustColor("#16293a")}
	white        = mustColor("#ffffff")
	black        = mustColor("#000000")
)

const (
	textContrast    = 4.5
	controlContrast = 3.0
)

type theme struct{ css, hash string }

func (t theme) url(prefix string) string {
	if t.css == "" {
		return ""
	}
	return prefix + "/static/theme-" + t.hash + ".css"
}

// themes remembers the theme of each brand colour.
type themes struct{ made sync.Map }

func (ts *themes) of(log *slog.Logger, r *realm.Realm) theme {
	if r.Brand.Color == "" {
		return theme{}
	}
	if t, ok := ts.made.Load(r.Brand.Color); ok {
		return t.(theme)
	}
	brand, err := parseColor(r.Brand.Color)
	if err != nil {
		log.Warn("brand colour ignored", "realm", r.Name, "error", err)
		return theme{}
	}
	light, dark := derive(brand, lightGrounds, -1), derive(brand, darkGrounds, +1)
	if light.brand != brand {
		log.Info("brand colour moved until it could be read", "realm", r.Name,
			"configured", brand.String(), "used", light.brand.String())
	}
	css := fmt.Sprintf(":root{%s}\n@media (prefers-color-scheme:dark){:root{%s}}\n", light, dark)
	t := theme{css, hashOf([]byte(css))}
	ts.made.Store(r.Brand.Color, t)
	return t
}

// palette is what a theme says.
type palette struct{ brand, onBrand, hover, link rgb }

func (p palette) String() string {
	return fmt.Sprintf("--brand:%s;--on-brand:%s;--brand-hover:%s;--link:%s", p.brand, p.onBrand, p.hover, p.link)
}

// derive moves a colour away from the grounds: darker (step -1) in light,
// lighter (+1) in dark. In dark it starts light, as a full colour glares there.
func derive(brand rgb, grounds []rgb, step float64) palette {
	c := brand.oklch()
	if step > 0 {
		c.l = max(c.l, 0.78)
		c.c = min(c.c, 0.13)
	}
	fits := func(candidate rgb, ratio float64) bool {
		for _, ground := range grounds {
			if contrast(candidate, ground) < ratio {
				return false
			}
		}
		return true
	}
	var p palette
	p.brand = move(c, step, func(x rgb) bool {
		return fits(x, controlContrast) && contrast(x, textOn(x)) >= textContrast
	})
	p.onBrand = textOn(p.brand)
	p.hover = hoverOf(p.brand, p.onBrand)
	p.link = move(p.brand.oklch(), step, func(x rgb) bool { return fits(x, textContrast) })
	return p
}

// hoverOf goes on in the direction that keeps the text of the button legible,
// and the other way where there is no room left.
func hoverOf(brand, text rgb) rgb {
	away := -0.08
	if text == black {
		away = 0.08
	}
	for _, by := range []float64{away, -away, -2 * away} {
		c := brand.oklch()
		c.l = min(max(c.l+by, 0), 1)
		if x := c.rgb(); x != brand && contrast(x, text) >= textContrast {
			return x
		}
	}
	return brand
}

// move shifts the lightness by steps until ok, at most to black or white.
func move(c oklch, step float64, ok func(rgb) bool) rgb {
	for c.l >= 0 && c.l <= 1 {
		if x := c.rgb(); ok(x) {
			return x
		}
		c.l += step * 0.01
	}
	if step < 0 {
		return black
	}
	return white
}

// textOn is the better of black and white for text on a colour.
func textOn(c rgb) rgb {
	if contrast(c, white) >= contrast(c, black) {
		return white
	}
	return black
}

type rgb struct{ r, g, b uint8 }

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c.r, c.g, c.b) }

func parseColor(s string) (rgb, error) {
	hex, ok := strings.CutPrefix(s, "#")
	if ok && len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if !ok || len(hex) != 6 || err != nil {
		return rgb{}, fmt.Errorf("%q is not a colour like #0b5c8a", s)
	}
	return rgb{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

func mustColor(s string) rgb {
	c, err := parseColor(s)
	if err != nil {
		panic(err)
	}
	return c
}

func linear(v uint8) float64 {
	x := float64(v) / 255
	if x <= 0.04045 {
		return x / 12.92
	}
	return math.Pow((x+0.055)/1.055, 2.4)
}

func gamma(x float64) uint8 {
	if x <= 0.0031308 {
		x *= 12.92
	} else {
		x = 1.055*math.Pow(x, 1/2.4) - 0.055
	}
	return uint8(math.Round(255 * min(max(x, 0), 1)))
}

// contrast is the ratio of WCAG 2.2, 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func (c rgb) luminance() float64 {
	return 0.2126*linear(c.r) + 0.7152*linear(c.g) + 0.0722*linear(c.b)
}

// oklch is a colour by lightness, chroma and hue, as people see them: moving
// the lightness leaves the hue alone (Ottosson, A perceptual color space).
type oklch struct{ l, c, h float64 }

func (c rgb) oklch() oklch {
	r, g, b := linear(c.r), linear(c.g), linear(c.b)
	l := math.Cbrt(0.4122214708*r + 0.5363325363*g + 0.0514459929*b)
	m := math.Cbrt(0.2119034982*r + 0.6806995451*g + 0.1073969566*b)
	s := math.Cbrt(0.0883024619*r + 0.2817188376*g + 0.6299787005*b)
	x := 1.9779984951*l - 2.4285922050*m + 0.4505937099*s
	y := 0.0259040371*l + 0.7827717662*m - 0.8086757660*s
	return oklch{0.2104542553*l + 0.7936177850*m - 0.0040720468*s, math.Hypot(x, y), math.Atan2(y, x)}
}

// rgb gives up chroma until the screen can show the colour.
func (c oklch) rgb() rgb {
	for chroma := c.c; ; chroma -= 0.004 {
		x, y := max(chroma, 0)*math.Cos(c.h), max(chroma, 0)*math.Sin(c.h)
		l := math.Pow(c.l+0.3963377774*x+0.2158037573*y, 3)
		m := math.Pow(c.l-0.1055613458*x-0.0638541728*y, 3)
		s := math.Pow(c.l-0.0894841775*x-1.2914855480*y, 3)
		r := 4.0767416621*l - 3.3077115913*m + 0.2309699292*s
		g := -1.2684380046*l + 2.6097574011*m - 0.3413193965*s
		b := -0.0041960863*l - 0.7034186147*m + 1.7076147010*s
		const edge = 0.0005
		if chroma <= 0 || min(r, g, b) >= -edge && max(r, g, b) <= 1+edge {
			return rgb{gamma(r), gamma(g), gamma(b)}
		}
	}
}
