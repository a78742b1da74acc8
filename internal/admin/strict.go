package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
)

// maxBody bounds a request body, in bytes.
const maxBody = 16 << 10

// strictBody refuses a body that is not exactly one JSON object with known
// keys, each once, each a string or where the body has one a list of strings. encoding/json by itself takes the last of
// repeated keys and ignores unknown ones and case: two programs on the way
// could read two different requests (ASVS 15.3.3). What is missing or cannot
// be meant is left to the schema, which answers 422.
func (a *API) strictBody(body reflect.Type) func(huma.Context, func(huma.Context)) {
	keys := stringKeys(body)
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
		if err != nil || media != "application/json" {
			a.write(c, newProblem("media_type", ""))
			return
		}
		raw, err := io.ReadAll(io.LimitReader(c.Request.Body, maxBody+1))
		var tooLarge *http.MaxBytesError
		if len(raw) > maxBody || errors.As(err, &tooLarge) {
			// The rest is not read: the connection ends after the answer.
			a.write(c, newProblem("too_large", "").with("Connection", "close"))
			return
		}
		if err != nil {
			a.write(c, newProblem("bad_request", "The body ended early."))
			return
		}
		if err := strictObject(raw, keys); err != nil {
			p := newProblem("bad_request", "")
			p.Errors = []Invalid{{"body", err.Error()}}
			a.write(c, p)
			return
		}
		c.Request.Body = io.NopCloser(bytes.NewReader(raw))
		next(ctx)
	}
}

// stringKeys lists the JSON keys of a body type; true stands for a list. Bodies
// here are flat objects of strings and lists of strings; anything else is a
// mistake of ours, found at the start.
func stringKeys(t reflect.Type) map[string]bool {
	keys := map[string]bool{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		list := f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.String
		if !list && f.Type.Kind() != reflect.String || name == "" {
			panic("admin: a request body has fields of strings with a JSON name only: " + t.String())
		}
		keys[name] = list
	}
	return keys
}

func strictObject(raw []byte, keys map[string]bool) error {
	if !utf8.Valid(raw) {
		return errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("is not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return errors.New("is not JSON")
		}
		key, ok := t.(string)
		list, known := keys[key]
		switch {
		case !ok:
			return errors.New("is not JSON")
		case !known:
			return errors.New("has an unknown key")
		case seen[key]:
			return fmt.Errorf("has the key %q twice", key)
		}
		seen[key] = true
		if err := strictValue(d, key, list); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("is not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("has something after the object")
	}
	return nil
}

// strictValue reads a string, or a list of them.
func strictValue(d *json.Decoder, key string, list bool) error {
	t, err := d.Token()
	if err != nil {
		return errors.New("is not JSON")
	}
	if !list {
		if _, ok := t.(string); !ok {
			return fmt.Errorf("%q is not a string", key)
		}
		return nil
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%q is not a list", key)
	}
	for d.More() {
		if t, err = d.Token(); err != nil {
			return errors.New("is not JSON")
		}
		if _, ok := t.(string); !ok {
			return fmt.Errorf("%q is not a list of strings", key)
		}
	}
	if _, err = d.Token(); err != nil {
		return errors.New("is not JSON")
	}
	return nil
}
