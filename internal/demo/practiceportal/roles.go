package practiceportal

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
)

// roles remembers for a moment what people may do, so that not every page asks.
// It only decides which links are offered: the API decides what is done.
type roles struct {
	mu        sync.Mutex
	bySubject map[string]rolesOf
}

type rolesOf struct {
	me
	at time.Time
}

const (
	rolesFor = 30 * time.Second
	maxRoles = 2_000
)

func (r *roles) get(subject string) (me, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.bySubject[subject]
	return found.me, ok && time.Since(found.at) < rolesFor
}

func (r *roles) put(subject string, who me) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bySubject == nil || len(r.bySubject) >= maxRoles {
		r.bySubject = map[string]rolesOf{}
	}
	r.bySubject[subject] = rolesOf{who, time.Now()}
}

// me asks the API who the person is there, and keeps it for the next pages.
func (v *visit) me() (me, error) {
	var who me
	if _, err := v.call(call{method: http.MethodGet, path: "/me"}, &who); err != nil {
		return me{}, err
	}
	v.portal.roles.put(v.user.Subject, who)
	return who, nil
}

// practices lists where the person has roles. Without ask, only what is known
// already counts. When the API does not say, there are none: nothing is offered.
func (v *visit) practices(ask bool) []membership {
	who, ok := v.portal.roles.get(v.user.Subject)
	if ok || !ask {
		return who.Practices
	}
	who, err := v.me()
	if err != nil {
		v.portal.log.Warn("practice portal could not ask for roles", "error", err)
	}
	return who.Practices
}

// anywhere says whether the person may do something in any practice.
func (v *visit) anywhere(allows func(perms) bool, ask bool) bool {
	for _, m := range v.practices(ask) {
		if allows(m.Permissions) {
			return true
		}
	}
	return false
}

// in asks what the person may do in a practice.
func (v *visit) in(practice string) (perms, error) {
	who, err := v.me()
	for _, m := range who.Practices {
		if m.ID == practice {
			return m.Permissions, err
		}
	}
	return perms{}, err
}

// role is one that a member of staff can have.
type role struct{ ID, Name, Means string }

var allRoles = []role{
	{"administrator", "Administrator", "Helps guardians, manages the staff, and agrees where two people are needed"},
	{"front_desk", "Front desk", "Helps guardians: invites them, changes login emails, sends reset links"},
	{"provider", "Provider", "May look, and nothing else"},
	{"viewer", "Viewer", "May look, and nothing else"},
}

func roleWords(id string) string {
	for _, r := range allRoles {
		if r.ID == id {
			return r.Name
		}
	}
	return strings.ReplaceAll(id, "_", " ")
}

// later says when to try again, in words.
func (p *problem) later() string {
	text := p.Detail
	if text == "" || strings.Contains(text, "Retry-After") { // words for programs
		text = "You have done this often in a short time."
	}
	minutes := int(math.Ceil(p.retryAfter.Minutes()))
	switch {
	case minutes < 1:
		return text + " Wait a few minutes and try again."
	case minutes == 1:
		return text + " Try again in a minute."
	case minutes < 120:
		return text + fmt.Sprintf(" Try again in %d minutes.", minutes)
	}
	return text + fmt.Sprintf(" Try again in %d hours.", (minutes+59)/60)
}
