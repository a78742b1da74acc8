package admin

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func names(r reply) []string {
	var out []string
	items, _ := r.json["items"].([]any)
	for _, item := range items {
		p := item.(map[string]any)
		out = append(out, p["given_name"].(string)+" "+p["family_name"].(string))
	}
	return out
}

func TestTheAccountFilterFindsPatientsThroughTheirGuardians(t *testing.T) {
	each(t, func(w *world) {
		for q, want := range map[string]string{
			"by=account&q=ROSA":                "[Mía Cruz]",
			"by=account&q=rosa%40example.test": "[Mía Cruz]",
			"by=account&q=AC-1":                "[Mía Cruz]",
			"by=account&q=tina":                "[]",
			"by=patient&q=mia":                 "[Mía Cruz]",
			"by=patient&q=rosa":                "[]",
			"q=cruz&access=active":             "[Mía Cruz]",
			"access=none":                      "[]",
			"":                                 "[Mía Cruz]",
		} {
			r := w.want(w.get("/patients?"+q, "front"), 200, "")
			if got := fmt.Sprint(names(r)); got != want {
				w.t.Errorf("%s found %s, want %s", q, got, want)
			}
		}
		r := w.get("/patients/"+w.mia.String(), "viewer")
		w.want(r, 200, "")
		list := r.json["associations"].([]any)
		access := map[string]string{}
		for _, item := range list {
			a := item.(map[string]any)
			access[a["guardian_name"].(string)] = a["access"].(string)
		}
		want := map[string]string{"Rosa Cruz": "active", "Sam Núñez": "active", "Ina Vited": "invited",
			"Otto Off": "disabled", "Enda Past": "none", "Bea Barred": "none"}
		if fmt.Sprint(access) != fmt.Sprint(want) {
			w.t.Errorf("access %v, want %v", access, want)
		}
		if w.events("admin.searched") == 0 || w.events("patient.viewed") != 1 {
			w.t.Error("looking was not recorded")
		}
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE details LIKE '%ROSA%' OR details LIKE '%Cruz%'`); n != 0 {
			w.t.Error("the trail holds what was typed")
		}
	})
}

func TestBadQueriesAreRefused(t *testing.T) {
	each(t, func(w *world) {
		for q, want := range map[string]string{
			"by=guardian": "422 invalid", "access=disabled": "422 invalid", "limit=0": "422 invalid", "limit=101": "422 invalid",
			"limit=ten": "422 invalid", "offset=10": "422 invalid", "practice_id=x": "422 invalid",
			"q=" + strings.Repeat("x", 101): "422 invalid", "q=a&q=b": "400 bad_request", "q=%zz": "400 bad_request", "q=%ff": "400 bad_request",
			"q=%00": "200 ", "q=%25": "200 ", "q=_ia": "200 ", "q='": "200 ",
		} {
			r := w.get("/patients?"+q, "front")
			if got := fmt.Sprintf("%d %s", r.status, r.code()); got != want {
				w.t.Errorf("%s: %s, want %s: %s", q, got, want, r.raw)
			}
			if r.status == 200 && q != "q=%00" && len(names(r)) != 0 {
				w.t.Errorf("%s found %v", q, names(r))
			}
		}
	})
}

func TestCursorsCannotBeMadeUpOrMovedElsewhere(t *testing.T) {
	each(t, func(w *world) {
		for i := range 7 {
			w.patient(w.oak, fmt.Sprintf("P-%d", i), "Pat", fmt.Sprintf("Same%d", i))
		}
		page := "/patients?by=patient&q=same&limit=3"
		first := w.want(w.get(page, "front"), 200, "")
		cursor := first.json["next_cursor"].(string)
		second := w.want(w.get(page+"&cursor="+cursor, "front"), 200, "")
		third := w.want(w.get(page+"&cursor="+second.json["next_cursor"].(string), "front"), 200, "")
		all := append(append(names(first), names(second)...), names(third)...)
		if fmt.Sprint(all) != "[Pat Same0 Pat Same1 Pat Same2 Pat Same3 Pat Same4 Pat Same5 Pat Same6]" || third.json["next_cursor"] != "" {
			w.t.Errorf("pages %v, then %q", all, third.json["next_cursor"])
		}
		// Another page size is not another search.
		w.want(w.get("/patients?by=patient&q=same&limit=2&cursor="+cursor, "front"), 200, "")

		if strings.Contains(cursor, "ame") {
			w.t.Error("the cursor shows a name")
		}
		bad := []string{"x", "AAAA", cursor + "A", cursor[:len(cursor)-1], url.QueryEscape(cursor + "="), strings.Repeat("A", len(cursor))}
		for i := 0; i < len(cursor); i += 7 {
			flip := byte('A')
			if cursor[i] == flip {
				flip = 'B'
			}
			bad = append(bad, cursor[:i]+string(flip)+cursor[i+1:])
		}
		for _, b := range bad {
			w.want(w.get(page+"&cursor="+b, "front"), 400, "invalid_cursor")
		}
		w.want(w.get(page+"&cursor="+cursor, "viewer"), 400, "invalid_cursor")
		w.want(w.get("/patients?by=patient&q=sam&limit=3&cursor="+cursor, "front"), 400, "invalid_cursor")
		w.want(w.get("/patients?by=account&q=same&limit=3&cursor="+cursor, "front"), 400, "invalid_cursor")
		w.want(w.get(page+"&access=none&cursor="+cursor, "front"), 400, "invalid_cursor")
	})
}

func TestMeSaysWhereAndWhat(t *testing.T) {
	each(t, func(w *world) {
		r := w.want(w.get("/me", "viewer"), 200, "")
		p := r.json["practices"].([]any)[0].(map[string]any)
		if p["name"] != "Oak Street Pediatrics" || fmt.Sprint(p["roles"]) != "[provider viewer]" ||
			fmt.Sprint(p["permissions"]) != "map[change_login_email:false invite:false manage_staff:false read:true reset_password:false unfreeze:false waive:false]" || p["id"] != w.oak.ID.String() {
			w.t.Errorf("me: %s", r.raw)
		}
		if r.json["email"] != "viewer@staff.example.test" {
			w.t.Errorf("me: %s", r.raw)
		}
	})
}
