package signin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

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
)

// devices remembers, in a browser, which accounts have signed in there. The
// cookie signs nobody in; it only keeps other people's failures apart from
// this browser's. Each entry is a nonce and an HMAC over realm, address,
// credential version and nonce, so it holds no address, cannot be made up, and
// proves nothing any more once the password was changed: whoever signed in
// with the old one guesses the new one as a stranger.
type devices struct{ key []byte }

// find returns the nonce under which this browser is known to an account, or
// "". version is the account's credential version.
func (d devices) find(c *gin.Context, r *realm.Realm, email string, version int64) string {
	for _, entry := range entries(c, r) {
		raw, err := base64.RawURLEncoding.DecodeString(entry)
		if err != nil || len(raw) != nonceBytes+sha256.Size {
			continue
		}
		if hmac.Equal(raw[nonceBytes:], d.sum(r, email, version, raw[:nonceBytes])) {
			return base64.RawURLEncoding.EncodeToString(raw[:nonceBytes])
		}
	}
	return ""
}

// remember makes the browser known to an account.
func (d devices) remember(c *gin.Context, r *realm.Realm, email string, version int64) {
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	kept := append([]string{base64.RawURLEncoding.EncodeToString(append(nonce, d.sum(r, email, version, nonce)...))}, entries(c, r)...)
	if len(kept) > devicesKept {
		kept = kept[:devicesKept]
	}
	d.set(c, r, kept)
}

// renew lets what a browser proves last for another realm.SignInPolicy.KnownDevice.
func (d devices) renew(c *gin.Context, r *realm.Realm) { d.set(c, r, entries(c, r)) }

func (d devices) set(c *gin.Context, r *realm.Realm, kept []string) {
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(deviceCookie), Value: strings.Join(kept, "."), Path: "/",
		MaxAge: int(r.SignIn.KnownDevice.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (d devices) sum(r *realm.Realm, email string, version int64, nonce []byte) []byte {
	if normal, err := account.NormalizeEmail(email); err == nil {
		email = normal
	}
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(r.Name + "\x00" + email + "\x00" + strconv.FormatInt(version, 10) + "\x00"))
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
