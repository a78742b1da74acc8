package factor

import (
	"fmt"
	"html/template"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quiet is the margin that ISO/IEC 18004 demands, in modules.
const quiet = 4

// width is what the narrowest screen has room for, in pixels.
const width = 280

// qrCode draws a text as a QR code: black on white with its margin, in dark
// pages too, since cameras expect that. It has no style of its own, which the
// Content-Security-Policy would refuse, and no words: they are the page's.
func qrCode(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw QR code: %w", err)
	}
	bounds := code.Bounds()
	dark := func(x, y int) bool {
		return color.GrayModel.Convert(code.At(bounds.Min.X+x, bounds.Min.Y+y)).(color.Gray).Y < 128
	}
	size := bounds.Dx()
	var path strings.Builder
	for y := range size {
		for x := 0; x < size; {
			if !dark(x, y) {
				x++
				continue
			}
			from := x
			for x < size && dark(x, y) {
				x++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
		}
	}
	whole := size + 2*quiet
	side := whole * max(1, width/whole) // whole pixels, so that all modules are alike
	return template.HTML(fmt.Sprintf(   //nolint:gosec // numbers only
		`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" shape-rendering="crispEdges" aria-hidden="true" focusable="false">`+
			`<rect width="%d" height="%d" fill="#fff"/><path fill="#000" d="%s"/></svg>`, side, side, whole, whole, whole, whole, path.String())), nil
}
