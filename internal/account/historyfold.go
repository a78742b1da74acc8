package account

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
)

// signInFailures is what anybody can add to somebody's history, as often as they
// like. So that it hides nothing, there is one line of a sort in an hour.
const signInFailures = "signin.failed"

// foldLimit is how many failures of an hour are looked at. Where there are more
// they are one line, whatever they were.
const foldLimit = 100

// occurrence is an event, or many failures of an hour, as one line tells them.
type occurrence struct {
	audit.Entry        // the newest
	times       int    // how many it stands for
	key         string // of its sentence, "" when that of its kind
}

// happened reads a page of events and one more.
func (s *Service) happened(ctx context.Context, r *realm.Realm, a Account, from audit.Place) ([]occurrence, error) {
	events, err := s.audit.History(ctx, r.Name, a.Actor(), toldKinds(), from, historyPage+1)
	if err != nil {
		return nil, err
	}
	failed := func(e audit.Entry) bool { return e.Kind == signInFailures }
	if !slices.ContainsFunc(events, failed) {
		return singly(events), nil
	}
	kinds := slices.DeleteFunc(slices.Clone(toldKinds()), func(kind string) bool { return kind == signInFailures })
	if events, err = s.audit.History(ctx, r.Name, a.Actor(), kinds, from, historyPage+1); err != nil {
		return nil, err
	}
	all, err := s.failures(ctx, r, a, from)
	if err != nil {
		return nil, err
	}
	all = append(all, singly(events)...)
	slices.SortFunc(all, func(x, y occurrence) int { return newestFirst(x.Place(), y.Place()) })
	return all[:min(len(all), historyPage+1)], nil
}

func singly(events []audit.Entry) []occurrence {
	all := make([]occurrence, len(events))
	for i, e := range events {
		all[i] = occurrence{Entry: e, times: 1}
	}
	return all
}

func newestFirst(x, y audit.Place) int {
	if c := y.At.Compare(x.At); c != 0 {
		return c
	}
	return bytes.Compare(y.ID[:], x.ID[:])
}

// failures are the lines about failed sign-ins from a place on, a page and one
// more. A line stands where its newest event does, so those of an hour in which
// a page begins are found from its end on: what the page before has told is not
// told again, and what belongs to it neither.
func (s *Service) failures(ctx context.Context, r *realm.Realm, a Account, from audit.Place) ([]occurrence, error) {
	var lines []occurrence
	at := from
	if from != (audit.Place{}) {
		at = endOfHour(from.At)
	}
	for len(lines) <= historyPage {
		events, err := s.audit.History(ctx, r.Name, a.Actor(), []string{signInFailures}, at, foldLimit+1)
		if err != nil {
			return nil, err
		}
		hours := byHour(events)
		more := len(events) > foldLimit
		if more && len(hours) > 1 { // the last hour may have more than was read
			hours = hours[:len(hours)-1]
		}
		for _, hour := range hours {
			for _, line := range fold(hour) {
				if from == (audit.Place{}) || newestFirst(from, line.Place()) < 0 {
					lines = append(lines, line)
				}
			}
			at = audit.Place{At: hour[0].At.Truncate(time.Hour)}
		}
		if !more {
			break
		}
	}
	return lines, nil
}

// endOfHour is the place before everything that happened in the hour of a time.
func endOfHour(t time.Time) audit.Place {
	return audit.Place{At: t.Truncate(time.Hour).Add(time.Hour)}
}

// byHour splits events, newest first, into those of each hour.
func byHour(events []audit.Entry) (hours [][]audit.Entry) {
	for i, e := range events {
		if i == 0 || !e.At.Truncate(time.Hour).Equal(events[i-1].At.Truncate(time.Hour)) {
			hours = append(hours, nil)
		}
		hours[len(hours)-1] = append(hours[len(hours)-1], e)
	}
	return hours
}

// many are the sentences for more than one failure of a sort.
var many = map[string]string{
	"history.wrong_password": "history.wrong_password_many",
	"history.throttled":      "history.throttled_many",
	"history.passkey_failed": "history.passkey_failed_many",
	"history.signin_failed":  "history.signin_failed_many",
}

// fold makes the failures of an hour, newest first, into a line for each sort.
func fold(hour []audit.Entry) (lines []occurrence) {
	if len(hour) > foldLimit {
		return []occurrence{{Entry: withoutPlace(hour[0]), times: foldLimit, key: "history.signin_failed_more"}}
	}
	where := map[string]int{}
	for _, e := range hour {
		key := signInFailed(e, nobody)
		i, seen := where[key]
		if !seen {
			where[key] = len(lines)
			lines = append(lines, occurrence{Entry: e, times: 1})
			continue
		}
		line := &lines[i]
		line.times, line.key = line.times+1, many[key]
		if line.Text("device") != e.Text("device") || network(line.IP) != network(e.IP) {
			line.Entry = withoutPlace(line.Entry)
		}
	}
	return lines
}

// withoutPlace says neither device nor network: there were several.
func withoutPlace(e audit.Entry) audit.Entry {
	e.Details, e.IP = nil, ""
	return e
}
