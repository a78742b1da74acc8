package admin

import "maps"

// Examples for the OpenAPI document. The people are invented.

type object = map[string]any

var examplePractice = object{"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b10", "name": "Oak Street Pediatrics"}

var exampleMe = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b0f", "name": "Ada Admin", "email": "ada@oak.example.test",
	"scopes": []string{"openid", "admin.read", "admin.manage"}, "auth_time": "2025-03-06T14:05:00Z",
	"practices": []object{{"id": examplePractice["id"], "name": examplePractice["name"], "roles": []string{"front_desk"},
		"permissions": object{"read": true, "change_login_email": true, "reset_password": true,
			"invite": true, "unfreeze": true, "waive": false, "manage_staff": false}}},
}

var examplePatient = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b11", "practice": examplePractice, "account_number": "AC-1001",
	"given_name": "Mía", "family_name": "Cruz", "birth_date": "2019-05-17",
	"associations": []object{{"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12", "relationship": "mother",
		"guardian_name": "Rosa Cruz", "login_email": "rosa.cruz@example.test", "access": "active"}},
}

var examplePage = object{"items": []object{examplePatient}, "next_cursor": ""}

var exampleReset = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b13", "state": "sent", "login_email": "rosa.cruz@example.test",
	"expires_at": "2025-03-08T14:12:00Z", "events": []object{
		{"state": "requested", "at": "2025-03-06T14:12:00Z"},
		{"state": "queued", "at": "2025-03-06T14:12:00Z"},
		{"state": "sent", "at": "2025-03-06T14:12:03Z"}},
	"answer_waiver": nil,
}

var exampleWaived, exampleApproved = waiverExample("requested", true, nil), waiverExample("approved", false, "2025-03-06T14:21:40Z")

func waiverExample(state string, mine bool, approved any) object {
	reset := maps.Clone(exampleReset)
	reset["answer_waiver"] = object{"state": state, "requested_at": "2025-03-06T14:20:11Z", "requested_by_you": mine,
		"identity_check": "Came to the desk, photo ID seen", "approved_at": approved}
	return reset
}

var exampleInvited = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12", "login_email": "rosa.cruz@example.test", "relationship": "mother",
	"authority": "full", "starts_on": "", "ends_on": "",
}

var exampleResent = object{"login_email": "rosa.cruz@example.test", "works_until": "2025-03-13T14:12:00Z"}

var exampleUnfrozen = object{"association_id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12", "frozen": false, "second_factors": true, "version": 8}

var exampleHelped = object{"association_id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12", "frozen": false, "second_factors": false, "version": 8}

var exampleStaff = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14", "practice": examplePractice, "name": "Ben Desk", "login_email": "ben@oak.example.test",
	"state": "active", "frozen": false, "last_signed_in_at": "2025-03-06T13:55:02Z", "roles": []string{"front_desk"}, "you": false, "version": 3, "unfreezing_removes": []string{},
}

var exampleStaffPage = object{"items": []object{exampleStaff}}

var exampleStaffInvited = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14", "practice": examplePractice, "login_email": "ben@oak.example.test", "roles": []string{"front_desk"},
}

var exampleRemoved = object{"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14", "removed": true}

var exampleCancelled = object{
	"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b13", "state": "cancelled", "login_email": "rosa.cruz@example.test",
	"expires_at": "2025-03-08T14:12:00Z", "events": []object{
		{"state": "requested", "at": "2025-03-06T14:12:00Z"},
		{"state": "cancelled", "at": "2025-03-06T14:15:00Z"}},
	"answer_waiver": nil,
}

var exampleAssociation = associationExample("rosa.cruz@example.test", true, 7, exampleReset)

var exampleEmailChanged = object{
	"association": associationExample("rosa.new@example.test", false, 8, nil), "reminder": reminder,
}

func associationExample(email string, verified bool, version int, latest any) object {
	return object{
		"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12",
		"patient": object{"id": "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b11", "given_name": "Mía", "family_name": "Cruz",
			"account_number": "AC-1001", "practice": examplePractice},
		"relationship": "mother", "authority": "full", "starts_on": "2024-01-01", "ends_on": "",
		"guardian": object{"name": "Rosa Cruz", "login_email": email, "email_verified": verified, "state": "active",
			"frozen_at": nil, "invited_at": nil, "second_factors": true, "last_signed_in_at": "2025-03-01T18:20:11Z", "locale": "es"},
		"portal_access": true, "can": object{"change_login_email": true, "cancel_login_email_change": false, "reset_password": true,
			"send_invitation": false, "cancel_invitation": false, "unfreeze": false, "remove_second_factors": false},
		"change_needs_guardian": false, "login_email_change": nil, "change_blocked_reason": "", "change_blocked_code": "", "reset_blocked_reason": "", "reset_blocked_code": "", "unfreeze_blocked_reason": "", "unfreezing_removes": []string{},
		"version": version, "latest_reset": latest,
	}
}
