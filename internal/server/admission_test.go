package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/password"
)

// unread is a browser that does not read its answer until it is let.
type unread struct {
	*httptest.ResponseRecorder
	writing chan<- struct{}
	read    <-chan struct{}
}

func (u unread) Write(p []byte) (int, error) {
	u.writing <- struct{}{}
	<-u.read
	return u.ResponseRecorder.Write(p)
}

// Whoever sends sign-ins and does not read the answers keeps nobody out.
func TestABrowserThatReadsNothingHoldsNoPlaceAtTheDoor(t *testing.T) {
	t.Parallel()
	hasher := password.NewHasher(password.Floor(), make([]byte, 32), password.PoolOptions{Concurrency: 1, Queue: 1})
	looking := make(chan chan struct{}, 8) // sign-ins that are looked at; closing one lets it go on
	engine := gin.New()
	engine.Use(admit(hasher))
	engine.POST("/signin", func(c *gin.Context) {
		decided := make(chan struct{})
		looking <- decided
		<-decided
		c.String(http.StatusUnprocessableEntity, "do not match")
	})
	post := func(w http.ResponseWriter) {
		req := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader("email=x"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		engine.ServeHTTP(w, req)
	}
	writing, read := make(chan struct{}), make(chan struct{})
	defer close(read)
	for range 5 { // two at a time have room
		go post(unread{httptest.NewRecorder(), writing, read})
		select {
		case decided := <-looking:
			close(decided)
		case <-time.After(10 * time.Second):
			t.Fatal("no sign-in is looked at: those who do not read are still inside")
		}
		select {
		case <-writing:
		case <-time.After(10 * time.Second):
			t.Fatal("no answer is written")
		}
	}
	var inside []chan struct{}
	for range 2 {
		go post(httptest.NewRecorder())
		inside = append(inside, <-looking)
	}
	// Those who are looked at do hold a place.
	if _, err := hasher.Enter(password.Passwords); !errors.Is(err, password.ErrBusy) {
		t.Errorf("a third one is let in: %v", err)
	}
	for _, decided := range inside {
		close(decided)
	}
}
