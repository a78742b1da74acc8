package seed

// The practices.
var (
	maple   = Practice{ID: id("practice", "maple"), Name: "Maple Street Clinic", Phone: "555-0100"}
	juniper = Practice{ID: id("practice", "juniper"), Name: "Juniper Family Practice", Phone: "555-0140"}
)

// guardian makes an active account of the patient realm.
func guardian(given, family, email, password, question, answer string) Account {
	return Account{ID: id("patient account", email), Realm: PatientRealm, GivenName: given, FamilyName: family, Email: email,
		Password: password, Question: question, Answer: answer, Locale: "en", State: Active}
}

// staff makes an active account of the practice realm.
func staff(given, family, email, password, question, answer string) Account {
	a := guardian(given, family, email, password, question, answer)
	a.ID, a.Realm = id("practice account", email), PracticeRealm
	return a
}

func (a Account) in(locale string) Account  { a.Locale = locale; return a }
func (a Account) about(text string) Account { a.About = text; return a }
func (a Account) first() Account            { a.Featured = true; return a }

// Guardians, and a patient with an account of her own.
var (
	ana     = guardian("Ana", "Rivera", "ana.rivera@example.test", "violet-kettle-orbit-41", "childhood_street", "Calle Laurel").in("es").about("mother of Mateo and Lucía; reads Spanish").first()
	luis    = guardian("Luis", "Rivera", "luis.rivera@example.test", "copper-walnut-sleigh-27", "first_pet", "Canela").in("es").about("father of Mateo: two guardians of one child")
	wei     = guardian("Wei", "Chen", "wei.chen@example.test", "gravel-tulip-beacon-63", "first_teacher", "Mrs. Abernathy").about("father, with children in both practices").first()
	ngozi   = guardian("Ngozi", "Okafor", "ngozi.okafor@example.test", "saffron-ladder-comet-18", "grandparent_town", "Enugu").about("mother of two")
	petra   = guardian("Petra", "Novak", "petra.novak@example.test", "thimble-glacier-mango-52", "first_concert", "The Velvet Kites").about("mother of Emma, who has an account of her own")
	emma    = guardian("Emma", "Novak", "emma.novak@example.test", "pretzel-lagoon-cello-74", "dream_job_child", "Astronaut").about("16, signs in for herself").first()
	yusuf   = guardian("Yusuf", "Haddad", "yusuf.haddad@example.test", "anchor-biscuit-meadow-39", "", "").about("has no security question").first()
	erik    = disabled(guardian("Erik", "Lindqvist", "erik.lindqvist@example.test", "lantern-puffin-gravel-85", "first_job_city", "Uppsala").about("account disabled"))
	carmen  = invited(guardian("Carmen", "Morales", "carmen.morales@example.test", "", "", "").in("es").about("invited, has not set up the account yet: the link is in the mailbox"), maple).first()
	joan    = guardian("Joan", "Blake", "j.blake@example.test", "drizzle-acorn-fiddle-96", "first_pet", "Biscuit").about("same email as a member of staff, another person")
	maria   = guardian("Maria", "Kowalska", "maria.kowalska@example.test", "umbrella-quartz-otter-31", "grandparent_town", "Gdynia").about("grandmother and legal guardian")
	thuy    = guardian("Thuy", "Nguyen", "thuy.nguyen@example.test", "cinnamon-raft-mosaic-58", "favorite_book_child", "The Paper Lantern").about("mother of twins")
	siobhan = guardian("Siobhán", "O’Brien", "siobhan.obrien@example.test", "pebble-trumpet-clover-47", "childhood_street", "Rosemary Lane").about("an accent and an apostrophe in the name")
	nils    = guardian("Nils", "Andersen", "nils.andersen@example.test", "walrus-button-prairie-22", "first_concert", "Copper Sunday").about("father with limited authority and an end date")
)

// Staff.
var (
	dana   = staff("Dana", "Whitfield", "dana.whitfield@maple.example.test", "orchid-ferry-magnet-68", "first_pet", "Pickle").about("administrator: may send reset links").first()
	grace  = staff("Grace", "Lindgren", "grace.lindgren@maple.example.test", "juniper-satchel-comet-92", "first_concert", "Lantern Parade").about("second administrator: agrees where two people are needed")
	rosa   = staff("Rosa", "Jimenez", "rosa.jimenez@maple.example.test", "pillow-canyon-radish-15", "first_teacher", "Mr. Oyelaran").about("front desk: may send reset links").first()
	tom    = staff("Tom", "Becker", "tom.becker@maple.example.test", "velvet-barge-cactus-73", "first_job_city", "Duluth").about("viewer: may only look").first()
	elena  = staff("Elena", "Petrova", "elena.petrova@maple.example.test", "marble-otter-signal-29", "grandparent_town", "Plovdiv").about("provider: may only look")
	priya  = staff("Priya", "Nair", "priya.nair@juniper.example.test", "teapot-horizon-walnut-84", "favorite_book_child", "The Clockwork Heron").about("administrator of the other practice").first()
	marcus = staff("Marcus", "Hall", "marcus.hall@juniper.example.test", "scarf-plateau-lemon-56", "dream_job_child", "Train driver").about("viewer of the other practice")
	jonah  = staff("Jonah", "Blake", "j.blake@example.test", "harvest-domino-kelp-43", "first_concert", "Paper Tigers Club").about("front desk; same email as a guardian, another person")
	kim    = staff("Kim", "Foster", "kim.foster@example.test", "ribbon-volcano-sparrow-17", "childhood_street", "Quarry Road").about("no role in any practice").first()
)

func disabled(a Account) Account {
	a.State = Disabled
	return a
}

func invited(a Account, by Practice) Account {
	a.State, a.InvitedBy = Invited, by.ID
	return a
}

func patient(p Practice, number, given, family, birth string) Patient {
	return Patient{ID: id("patient", number), PracticeID: p.ID, AccountNumber: number, GivenName: given, FamilyName: family, BirthDate: birth}
}

// Patients. Account numbers are those of each practice's health-record system.
var (
	mateo  = patient(maple, "MSC-10412", "Mateo", "Rivera", "2019-05-11")
	lucia  = patient(maple, "MSC-10413", "Lucía", "Rivera", "2022-08-30")
	lily   = patient(maple, "MSC-10377", "Lily", "Chen", "2016-02-03")
	emmaP  = patient(maple, "MSC-10288", "Emma", "Novak", "2010-09-14")
	layla  = patient(maple, "MSC-10455", "Layla", "Haddad", "2020-12-19")
	diego  = patient(maple, "MSC-10501", "Diego", "Morales", "2024-03-02")
	ruby   = patient(maple, "MSC-10302", "Ruby", "Blake", "2014-07-21")
	finn   = patient(maple, "MSC-10466", "Finn", "O’Brien", "2021-01-27")
	walter = patient(maple, "MSC-10007", "Walter", "Ashdown", "1948-11-05")
	oliver = patient(juniper, "JFP-2210", "Oliver", "Chen", "2013-10-08")
	chidi  = patient(juniper, "JFP-2184", "Chidi", "Okafor", "2015-04-25")
	adaeze = patient(juniper, "JFP-2185", "Adaeze", "Okafor", "2018-06-17")
	astrid = patient(juniper, "JFP-2199", "Astrid", "Lindqvist", "2017-12-01")
	jan    = patient(juniper, "JFP-2231", "Jan", "Kowalski", "2012-03-29")
	minh   = patient(juniper, "JFP-2240", "Minh", "Nguyen", "2023-02-14")
	mai    = patient(juniper, "JFP-2241", "Mai", "Nguyen", "2023-02-14")
	freja  = patient(juniper, "JFP-2205", "Freja", "Andersen", "2016-08-09")
)

func tie(p Patient, a Account, relationship string) Association {
	return Association{ID: id("association", p.AccountNumber+" "+a.Email), PatientID: p.ID, AccountID: a.ID,
		Relationship: relationship, Authority: "full", PortalAccess: true, StartsOn: "2024-01-15"}
}

// limited is somebody who may see part of the record, for a time.
func limited(a Association, until string) Association {
	a.Authority, a.EndsOn = "limited", until
	return a
}

// without is somebody on record whose portal access was never opened.
func without(a Association) Association {
	a.Authority, a.PortalAccess = "none", false
	return a
}

// Demo returns the demo's people, freshly made at every call.
func Demo() *Data {
	return &Data{
		Practices: []Practice{maple, juniper},
		Accounts: []Account{
			ana, luis, wei, ngozi, petra, emma, yusuf, erik, carmen, joan, maria, thuy, siobhan, nils,
			dana, grace, rosa, tom, elena, priya, marcus, jonah, kim,
		},
		StaffRoles: []StaffRole{
			{dana.ID, maple.ID, "administrator"}, {grace.ID, maple.ID, "administrator"}, {rosa.ID, maple.ID, "front_desk"}, {tom.ID, maple.ID, "viewer"}, {elena.ID, maple.ID, "provider"},
			{priya.ID, juniper.ID, "administrator"}, {marcus.ID, juniper.ID, "viewer"}, {jonah.ID, juniper.ID, "front_desk"},
		},
		Patients: []Patient{mateo, lucia, lily, emmaP, layla, diego, ruby, finn, walter, oliver, chidi, adaeze, astrid, jan, minh, mai, freja},
		Associations: []Association{
			tie(mateo, ana, "mother"), tie(mateo, luis, "father"), tie(lucia, ana, "mother"),
			tie(lily, wei, "father"), tie(oliver, wei, "father"),
			tie(emmaP, petra, "mother"), tie(emmaP, emma, "self"),
			tie(layla, yusuf, "father"), tie(diego, carmen, "mother"), tie(ruby, joan, "mother"), tie(finn, siobhan, "mother"),
			tie(chidi, ngozi, "mother"), tie(adaeze, ngozi, "mother"), tie(astrid, erik, "father"),
			tie(jan, maria, "guardian"), tie(minh, thuy, "mother"), tie(mai, thuy, "mother"),
			limited(tie(freja, nils, "father"), "2034-08-09"), without(tie(adaeze, nils, "other")),
		},
	}
}
