package locale

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var spanish = struct {
	days   [7]string
	months [12]string
}{
	[7]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"},
	[12]string{
		"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio",
		"agosto", "septiembre", "octubre", "noviembre", "diciembre",
	},
}

// Date writes a moment as people of that language do, with the zone by name
// and offset, so that nobody has to guess whose clock is meant:
//
//	Thursday, March 6, 2025, 9:12 AM EST (UTC−5)
//	jueves 6 de marzo de 2025, 9:12 a. m. EST (UTC−5)
//
// Languages without a form of their own get the international one. A nil
// location is UTC.
func Date(lang string, t time.Time, loc *time.Location) string {
	if loc == nil {
		loc = time.UTC
	}
	t = t.In(loc)
	switch base(lang) {
	case "en":
		return t.Format("Monday, January 2, 2006, 3:04 PM") + zone(t)
	case "es":
		half := "a. m."
		if t.Hour() >= 12 {
			half = "p. m."
		}
		return fmt.Sprintf("%s %s, %s %s%s", spanish.days[t.Weekday()], spanishDay(t), t.Format("3:04"), half, zone(t))
	default:
		return t.Format("2006-01-02 15:04") + zone(t)
	}
}

// Day writes the calendar day alone: "March 6, 2025", "6 de marzo de 2025".
func Day(lang string, t time.Time, loc *time.Location) string {
	if loc == nil {
		loc = time.UTC
	}
	t = t.In(loc)
	switch base(lang) {
	case "en":
		return t.Format("January 2, 2006")
	case "es":
		return spanishDay(t)
	default:
		return t.Format("2006-01-02")
	}
}

func spanishDay(t time.Time) string {
	return fmt.Sprintf("%d de %s de %d", t.Day(), spanish.months[t.Month()-1], t.Year())
}

func base(lang string) string {
	name, _, _ := strings.Cut(lang, "-")
	return strings.ToLower(name)
}

func zone(t time.Time) string {
	name, seconds := t.Zone()
	if seconds == 0 && name == "UTC" {
		return " UTC"
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
		return " (" + offset + ")"
	}
	return " " + name + " (" + offset + ")"
}
