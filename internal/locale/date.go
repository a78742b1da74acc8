package locale

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dateParts are the values that the sentences about dates are given. A language
// takes those it needs, in its own order.
var dateParts = map[string][]string{
	"date.moment": {"weekday", "day", "month", "year", "time", "zone"},
	"date.day":    {"weekday", "day", "month", "year"},
	// hour is 0 to 23, hour24 the same in two digits, half says am or pm.
	"date.time": {"hour", "hour12", "hour24", "minute", "half"},
}

// Date writes a moment as people of that language do, with the zone by name
// and offset, so that nobody has to guess whose clock is meant:
//
//	Thursday, March 6, 2025, 9:12 AM EST (UTC−5)
//	jueves 6 de marzo de 2025, 9:12 a. m. EST (UTC−5)
//
// The order and the names come from the sentences under "date." of the
// language. A nil location is UTC.
func (cat *Catalog) Date(lang string, t time.Time, loc *time.Location) string {
	t = in(t, loc)
	half := "date.half.am"
	if t.Hour() >= 12 {
		half = "date.half.pm"
	}
	clock := cat.T(lang, "date.time", "hour", t.Hour(), "hour24", t.Format("15"), "hour12", t.Format("3"),
		"minute", t.Format("04"), "half", cat.T(lang, half))
	return cat.T(lang, "date.moment", append(cat.dayParts(lang, t), "time", clock, "zone", zone(t))...)
}

// Day writes the calendar day alone: "March 6, 2025", "6 de marzo de 2025".
func (cat *Catalog) Day(lang string, t time.Time, loc *time.Location) string {
	return cat.T(lang, "date.day", cat.dayParts(lang, in(t, loc))...)
}

func (cat *Catalog) dayParts(lang string, t time.Time) []any {
	weekday := (int(t.Weekday())+6)%7 + 1 // Monday is 1 (ISO 8601)
	return []any{"day", t.Day(), "year", t.Year(),
		"month", cat.T(lang, "date.month."+strconv.Itoa(int(t.Month()))),
		"weekday", cat.T(lang, "date.weekday."+strconv.Itoa(weekday))}
}

func in(t time.Time, loc *time.Location) time.Time {
	if loc == nil {
		loc = time.UTC
	}
	return t.In(loc)
}

func base(lang string) string {
	name, _, _ := strings.Cut(lang, "-")
	return strings.ToLower(name)
}

// zone is written alike in all languages: "EST (UTC−5)".
func zone(t time.Time) string {
	name, seconds := t.Zone()
	if seconds == 0 && name == "UTC" {
		return "UTC"
	}
	sign := "+"
	if seconds < 0 {
		sign, seconds = "−", -seconds
	}
	offset := "UTC" + sign + strconv.Itoa(seconds/3600)
	if minutes := seconds % 3600 / 60; minutes != 0 {
		offset += fmt.Sprintf(":%02d", minutes)
	}
	// Zones without letters are called "-03": the offset says that already.
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		return "(" + offset + ")"
	}
	return name + " (" + offset + ")"
}
