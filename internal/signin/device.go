package signin

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/realm"
)

// DeviceKeyPurpose is the purpose for secret.Sealer.DeriveKey.
const DeviceKeyPurpose = "known devices"

const (
	deviceCookie = "device"
	devicesKept  = 4 // people who share a browser
	nonceBytes   = 16
	entryBytes   = nonceBytes + sha256.Size // and as much again where the second step was passed
)

// devices remembers, in a browser, which accounts have signed in there. The
// cookie signs nobody in; it only keeps other people's failures apart from
// this browser's. Each entry is a nonce and an HMAC over realm, address,
// credential version and nonce, so it holds no address, cannot be made up, and
// proves nothing any more once the password was changed: whoever signed in
// with the old one guesses the new one as a stranger.
//
// A second HMAC says that the second step was passed, with the factors of
// today. Without it a browser that somebody has used once, before there was a
// second factor, would have the tries at codes of the person's own browsers,
// and could use them up.
type devices struct{ key []byte }

// find returns the nonce under which this browser is known to an account, or
// "". version is the account's credential version.
func (d devices) find(c *gin.Context, r *realm.Realm, email string, version int64) string {
	if raw := d.entry(c, r, email, version); raw != nil {
		return base64.RawURLEncoding.EncodeToString(raw[:nonceBytes])
	}
	return ""
}

// proved reports whether this browser has passed the second step of an account
// that has had second factors since a time (factor.Summary.Since).
func (d devices) proved(c *gin.Context, r *realm.Realm, a account.Account, since time.Time) bool {
	raw := d.entry(c, r, a.LoginEmail, a.CredentialVersion)
	if len(raw) != entryBytes+sha256.Size || since.IsZero() {
		return false
	}
	return hmac.Equal(raw[entryBytes:], d.sum(r, a.LoginEmail, secondLevel(a, since), raw[:nonceBytes]))
}

// entry is what the cookie says of an account, nil for nothing.
func (d devices) entry(c *gin.Context, r *realm.Realm, email string, version int64) []byte {
	for _, entry := range entries(c, r) {
		raw, err := base64.RawURLEncoding.DecodeString(entry)
		if err != nil || len(raw) != entryBytes && len(raw) != entryBytes+sha256.Size {
			continue
		}
		if hmac.Equal(raw[nonceBytes:entryBytes], d.sum(r, email, level(version), raw[:nonceBytes])) {
			return raw
		}
	}
	return nil
}

// remember makes the browser known to an account. since is as in prove; zero:
// the password was all that it proved.
func (d devices) remember(c *gin.Context, r *realm.Realm, a account.Account, since time.Time) {
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	d.put(c, r, a, nonce, since)
}

// renew lets what a browser proves last for another realm.SignInPolicy.KnownDevice.
func (d devices) renew(c *gin.Context, r *realm.Realm) { d.set(c, r, entries(c, r)) }

// prove notes that a browser, if it is known, has passed the second step of an
// account that has had second factors since then.
func (d devices) prove(c *gin.Context, r *realm.Realm, a account.Account, since time.Time) {
	if raw := d.entry(c, r, a.LoginEmail, a.CredentialVersion); raw != nil && !since.IsZero() {
		d.put(c, r, a, raw[:nonceBytes], since)
	}
}

// put writes the entry of a nonce anew, before the others.
func (d devices) put(c *gin.Context, r *realm.Realm, a account.Account, nonce []byte, since time.Time) {
	raw := slices.Concat(nonce, d.sum(r, a.LoginEmail, level(a.CredentialVersion), nonce))
	if !since.IsZero() {
		raw = append(raw, d.sum(r, a.LoginEmail, secondLevel(a, since), nonce)...)
	}
	kept := []string{base64.RawURLEncoding.EncodeToString(raw)}
	for _, other := range entries(c, r) {
		if old, err := base64.RawURLEncoding.DecodeString(other); err != nil || !bytes.HasPrefix(old, nonce) {
			kept = append(kept, other)
		}
	}
	d.set(c, r, kept[:min(len(kept), devicesKept)])
}

func (d devices) set(c *gin.Context, r *realm.Realm, kept []string) {
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(deviceCookie), Value: strings.Join(kept, "."), Path: "/",
		MaxAge: int(r.SignIn.KnownDevice.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// What an HMAC is about, beside realm and address.
func level(version int64) string { return strconv.FormatInt(version, 10) }

func secondLevel(a account.Account, since time.Time) string {
	return level(a.CredentialVersion) + "/" + strconv.FormatInt(since.UnixMicro(), 10)
}

func (d devices) sum(r *realm.Realm, email, level string, nonce []byte) []byte {
	if normal, err := account.NormalizeEmail(email); err == nil {
		email = normal
	}
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(r.Name + "\x00" + email + "\x00" + level + "\x00"))
	mac.Write(nonce)
	return mac.Sum(nil)
}

func entries(c *gin.Context, r *realm.Realm) []string {
	cookie, err := c.Request.Cookie(r.CookieName(deviceCookie))
	if err != nil || len(cookie.Value) > 1024 {
		return nil
	}
	return strings.Split(cookie.Value, ".")
}
