package account

import (
	"maps"
	"slices"
	"strings"

	"github.com/portico-id/portico/internal/audit"
)

// told says which events a person is told of and in which sentence; "" leaves
// one out. A kind that is not here is not shown: most are about staff's work, or
// repeat in other words what is.
var told = map[string]func(e audit.Entry, by who) string{
	"account.activated": always("history.activated"),
	"account.invited":   by("", "history.invited_by", "history.invited"),
	"account.disabled":  by("history.disabled", "history.disabled_by", "history.disabled"),
	"account.enabled":   by("history.enabled", "history.enabled_by", "history.enabled"),
	"account.frozen":    by("history.frozen", "history.frozen_by", "history.frozen"),
	"account.unfrozen":  by("history.unfrozen", "history.unfrozen_by", "history.unfrozen"),

	"signin.succeeded": func(e audit.Entry, _ who) string {
		if e.ClientID != "" {
			return "history.signed_in_to"
		}
		return "history.signed_in"
	},
	"signin.failed":           signInFailed,
	"signin.password_right":   always("history.password_right"),
	"signin.second_failed":    secondStepFailed,
	"password.confirm_failed": always("history.confirm_failed"),
	"session.signed_out":      always("history.signed_out"),
	"session.ended": func(e audit.Entry, by who) string {
		switch {
		case e.Text("why") == "too_many_wrong_passwords":
			return "history.ended_guessing"
		case e.Text("why") == "too_many_wrong_codes":
			return "history.ended_codes"
		case by != yourself:
			return "history.ended"
		case e.Text("session") == "all others":
			return "history.ended_others"
		}
		return "history.ended_one"
	},

	"password.changed": func(e audit.Entry, by who) string {
		switch {
		case e.Text("journey") == string(Activation):
			return "" // setting the account up says it
		case e.Text("journey") == string(Recovery):
			return "history.password_reset"
		case by == yourself:
			return "history.password_changed_you"
		}
		return "history.password_changed"
	},
	"email.changed":          by("history.email_changed_you", "history.email_changed_by", "history.email_changed"),
	"email.change_requested": by("history.email_asked_you", "history.email_asked_by", "history.email_asked_you"),
	"email.change_cancelled": by("history.email_cancelled", "history.email_cancelled_by", "history.email_cancelled"),
	"email.change_refused":   always("history.email_refused"),
	"question.changed":       by("history.question_changed_you", "history.question_changed", "history.question_changed"),
	"profile.changed":        always("history.profile_changed"),
	"factor.added":           factorAdded,
	"factor.removed":         factorRemoved,
	"factor.locked":          always("history.factor_locked"),
	"passkey.cloned":         always("history.passkey_copied"),
	"recovery_code.used":     always("history.code_used"),
	"recovery_codes.renewed": always("history.codes_renewed"),

	"recovery.requested": func(e audit.Entry, _ who) string {
		switch e.Text("result") {
		case "link_queued":
			return "history.link_sent"
		case "invited_again":
			return "history.invited_again"
		}
		return "history.link_not_sent"
	},
	"recovery.staff_requested": always("history.link_sent_by"),
	"recovery.cancelled":       by("history.link_cancelled", "history.link_cancelled_by", "history.link_cancelled"),
	"waiver.approved":          always("history.waiver"),
	"recovery.opened":          always("history.link_opened"),
	"recovery.answered":        always("history.answered"),
	"recovery.answer_failed":   always("history.answer_failed"),

	"consent.given":        always("history.app_added"),
	"app.removed":          always("history.app_removed"),
	"token.reuse_detected": always("history.app_stopped"),
}

// toldKinds lists the kinds of told, always in the same order, so that the
// database sees one statement.
var toldKinds = func() func() []string {
	kinds := slices.Sorted(maps.Keys(told))
	return func() []string { return kinds }
}()

func always(key string) func(audit.Entry, who) string {
	return func(audit.Entry, who) string { return key }
}

// by chooses the sentence by who did it: the person, a practice, or neither.
func by(you, practice, other string) func(audit.Entry, who) string {
	return func(_ audit.Entry, by who) string {
		switch by {
		case yourself:
			return you
		case staff:
			return practice
		}
		return other
	}
}

func signInFailed(e audit.Entry, _ who) string {
	why, _, _ := strings.Cut(e.Text("why"), ":")
	switch why {
	case "wrong_password":
		return "history.wrong_password"
	case "throttled", "disabled_after_failures":
		return "history.throttled"
	case "passkey":
		return "history.passkey_failed"
	}
	return "history.signin_failed"
}

func secondStepFailed(e audit.Entry, _ who) string {
	switch e.Text("why") {
	case "wrong_code":
		return "history.wrong_code"
	case "throttled":
		return "history.second_throttled"
	}
	return "history.second_failed"
}

func factorAdded(e audit.Entry, _ who) string {
	switch e.Text("factor") {
	case "totp":
		return "history.totp_added"
	case "passkey":
		return "history.passkey_added"
	}
	return "history.factor_added"
}

func factorRemoved(e audit.Entry, by who) string {
	switch {
	case by == staff:
		return "history.factor_removed_by"
	case e.Text("factor") == "totp":
		return "history.totp_removed"
	case e.Text("factor") == "passkey":
		return "history.passkey_removed"
	}
	return "history.factor_removed"
}
