package server

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/password"
)

// What passes by itself is "not now"; what does not is an error of ours.
func TestWhatPassesIsNotNow(t *testing.T) {
	t.Parallel()
	for _, err := range []error{password.ErrBusy, database.ErrUnavailable, database.ErrRetry, database.ErrReadOnly} {
		if e := classify(fmt.Errorf("sign in: %w", err)); e == nil || e.Status != http.StatusServiceUnavailable {
			t.Errorf("%v: %+v", err, e)
		}
	}
	if e := classify(errors.New("a mistake")); e != nil {
		t.Errorf("a mistake: %+v", e)
	}
}
