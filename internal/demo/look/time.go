package look

import (
	"fmt"
	"strings"
	"time"
)

var (
	weekdaysES = [...]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"}
	monthsES   = [...]string{"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"}
)

// Moment writes a time for people, with day, zone and distance from UTC:
// "Thursday, March 6, 2025, 9:12 AM EST (UTC−5)", in Spanish
// "jueves 6 de marzo de 2025, 9:12 a. m. EST (UTC−5)".
func Moment(lang string, t time.Time, zone *time.Location) string {
	t = t.In(zone)
	name, offset := t.Zone()
	where := name + " (" + fromUTC(offset) + ")"
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		where = fromUTC(offset)
	} else if name == "UTC" {
		where = "UTC"
	}
	if lang == "es" {
		half := "a. m."
		if t.Hour() >= 12 {
			half = "p. m."
		}
		return fmt.Sprintf("%s %d de %s de %d, %s %s %s", weekdaysES[t.Weekday()], t.Day(), monthsES[t.Month()-1], t.Year(), t.Format("3:04"), half, where)
	}
	return t.Format("Monday, January 2, 2006, 3:04 PM ") + where
}

func fromUTC(seconds int) string {
	sign := "+"
	if seconds < 0 {
		sign, seconds = "−", -seconds
	}
	hours, minutes := seconds/3600, seconds%3600/60
	if minutes == 0 {
		return fmt.Sprintf("UTC%s%d", sign, hours)
	}
	return fmt.Sprintf("UTC%s%d:%02d", sign, hours, minutes)
}
