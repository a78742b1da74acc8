package webtest

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Faults lists what is wrong with the structure of a page: what a screen
// reader, a keyboard or the Content-Security-Policy would stumble over.
func Faults(page string) []string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	ids, labels, counts := map[string]bool{}, map[string]bool{}, map[string]int{}
	var elements []*html.Node
	walk(doc, func(n *html.Node) {
		elements = append(elements, n)
		counts[n.Data]++
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				fault("two elements have the id %q", id)
			}
			ids[id] = true
		}
		if n.Data == "label" {
			labels[attr(n, "for")] = true
		}
	})
	for _, one := range []string{"main", "h1", "title"} {
		if counts[one] != 1 {
			fault("%d <%s>, want one", counts[one], one)
		}
	}
	for _, n := range elements {
		checkElement(n, ids, labels, fault)
	}
	return append(faults, checkFrame(doc, elements)...)
}

func checkElement(n *html.Node, ids, labels map[string]bool, fault func(string, ...any)) {
	for _, a := range n.Attr {
		switch {
		case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
			fault("<%s %s>: nothing inline", n.Data, a.Key)
		case slices.Contains([]string{"placeholder", "required", "autofocus"}, a.Key):
			fault("<%s %s>: not on our pages", n.Data, a.Key)
		case slices.Contains([]string{"aria-describedby", "aria-labelledby", "aria-controls", "for"}, a.Key):
			for _, id := range strings.Fields(a.Val) {
				if !ids[id] {
					fault("<%s %s=%q>: no element has that id", n.Data, a.Key, id)
				}
			}
		case strings.Contains(a.Val, "ZgotmplZ"):
			fault("<%s %s>: value refused by the escaper", n.Data, a.Key)
		}
	}
	switch n.Data {
	case "html":
		if attr(n, "lang") == "" {
			fault("<html> without lang")
		}
	case "script", "style":
		if n.Data == "style" || n.FirstChild != nil || attr(n, "src") == "" {
			fault("inline <%s>", n.Data)
		}
	case "input", "select", "textarea":
		kind := attr(n, "type")
		if kind == "hidden" || kind == "submit" {
			return
		}
		if id := attr(n, "id"); id == "" || !labels[id] {
			fault("<%s name=%q> without a label", n.Data, attr(n, "name"))
		}
		if kind == "password" && (attr(n, "value") != "" || attr(n, "maxlength") != "") {
			fault("password %q with a value or maxlength", attr(n, "name"))
		}
	case "form":
		if strings.EqualFold(attr(n, "method"), "post") {
			checkForm(n, fault)
		}
	case "img":
		if !has(n, "alt") {
			fault("<img> without alt")
		}
	case "a", "button":
		if text(n) == "" && attr(n, "aria-label") == "" {
			fault("<%s> without a name", n.Data)
		}
	}
}

func checkForm(n *html.Node, fault func(string, ...any)) {
	if !has(n, "novalidate") {
		fault("<form> without novalidate")
	}
	// What another site reads must not know our token, what we read must bring it.
	abroad := strings.Contains(attr(n, "action"), ":")
	token := find(n, func(in *html.Node) bool { return in.Data == "input" && attr(in, "name") == "csrf" }) != nil
	switch {
	case token && abroad:
		fault("<form> that gives {{csrf}} away")
	case !token && !abroad:
		fault("<form> without {{csrf}}")
	}
}

// checkFrame looks at the title, the skip link and the error summary.
func checkFrame(doc *html.Node, elements []*html.Node) (faults []string) {
	title := text(find(doc, func(n *html.Node) bool { return n.Data == "title" }))
	h1 := text(find(doc, func(n *html.Node) bool { return n.Data == "h1" }))
	if h1 == "" || !strings.Contains(title, h1+" – ") {
		faults = append(faults, fmt.Sprintf("title %q does not begin with the heading %q", title, h1))
	}
	first := find(doc, func(n *html.Node) bool { return n.Data == "a" })
	if attr(first, "href") != "#main" {
		faults = append(faults, "the first link does not skip to main")
	}
	summary := find(doc, func(n *html.Node) bool { return attr(n, "role") == "alert" })
	if (summary != nil) != strings.HasPrefix(title, "Error: ") {
		faults = append(faults, "a page has an error summary if and only if its title starts with Error:")
	}
	at := slices.IndexFunc(elements, func(n *html.Node) bool { return n.Data == "h1" })
	if summary != nil && slices.Index(elements, summary) > at {
		faults = append(faults, "the error summary is below the heading")
	}
	walk(summary, func(n *html.Node) {
		id, ok := strings.CutPrefix(attr(n, "href"), "#")
		if ok && find(doc, func(e *html.Node) bool { return attr(e, "id") == id && attr(e, "aria-invalid") == "true" }) == nil {
			faults = append(faults, "the summary links to "+id+", which is not marked as invalid")
		}
	})
	return faults
}

func walk(n *html.Node, visit func(*html.Node)) {
	if n == nil {
		return
	}
	if n.Type == html.ElementNode {
		visit(n)
	}
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		walk(child, visit)
	}
}

func find(n *html.Node, want func(*html.Node) bool) (found *html.Node) {
	walk(n, func(each *html.Node) {
		if found == nil && want(each) {
			found = each
		}
	})
	return found
}

func attr(n *html.Node, key string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

// text is what an element says, white space collapsed.
func text(n *html.Node) string {
	var out strings.Builder
	var collect func(*html.Node)
	collect = func(n *html.Node) {
		if n == nil || n.Data == "script" || n.Data == "style" {
			return
		}
		if n.Type == html.TextNode {
			out.WriteString(n.Data)
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			collect(child)
		}
		switch n.Data {
		case "p", "li", "dt", "dd", "div", "h1", "h2", "label", "td", "th", "option", "button":
			out.WriteByte(' ')
		}
	}
	collect(n)
	return strings.Join(strings.Fields(out.String()), " ")
}
