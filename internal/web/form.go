package web

import (
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"
)

// Form is what somebody typed and what was wrong with it. Put it into the
// page's view as the field Form; the zero value is an empty form.
type Form struct {
	Values   map[string]string
	Problems []Problem
}

// Problem is a sentence about a field. An empty Field is about the whole form.
type Problem struct {
	Field string
	Key   string
	Args  []any // pairs for the placeholders
}

// NewForm reads the named fields of a POST, without the white space around
// them. Passwords and answers do not belong here, since a form is shown again:
// read them with c.PostForm.
func NewForm(c *gin.Context, fields ...string) Form {
	f := Form{Values: make(map[string]string, len(fields))}
	for _, name := range fields {
		f.Values[name] = strings.TrimSpace(strings.ToValidUTF8(c.PostForm(name), "�"))
	}
	return f
}

// Value is what was typed into a field.
func (f *Form) Value(field string) string { return f.Values[field] }

// Set fills a field in.
func (f *Form) Set(field, value string) {
	if f.Values == nil {
		f.Values = map[string]string{}
	}
	f.Values[field] = value
}

// Add notes a problem: a key of the locale and pairs for its placeholders.
func (f *Form) Add(field, key string, args ...any) {
	f.Problems = append(f.Problems, Problem{field, key, args})
}

// OK reports whether nothing is wrong.
func (f *Form) OK() bool { return len(f.Problems) == 0 }

// formOf finds the form of a view: the view itself, or its field Form.
func formOf(view any) *Form {
	switch v := view.(type) {
	case nil:
		return &Form{}
	case Form:
		return &v
	case *Form:
		if v == nil {
			return &Form{}
		}
		return v
	case map[string]any:
		return formOf(v["Form"])
	}
	value := reflect.ValueOf(view)
	for value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		if value.IsNil() {
			return &Form{}
		}
		value = value.Elem()
	}
	if value.Kind() == reflect.Struct {
		if field := value.FieldByName("Form"); field.IsValid() && field.CanInterface() {
			switch field.Interface().(type) {
			case Form, *Form:
				return formOf(field.Interface())
			}
		}
	}
	return &Form{}
}

// Option is a choice of a "select".
type Option struct {
	Value, Text string
	Selected    bool
}

// input is what the partials "field", "password" and "select" show.
type input struct {
	Name, Label, Hint, Problem, DescribedBy string
	Type, InputMode, Autocomplete, Value    string
	PasswordRules, Controls                 string
	MaxLength                               int
	Plain, ReadOnly                         bool
	Options                                 []Option
	secret                                  bool
}

// kind is what the page authors need not repeat: how a field that every realm
// knows is labelled and what it tells the browser.
type kind struct {
	label string
	input input
}

var kinds = map[string]kind{
	"email": {"field.email", input{
		Type: "email", InputMode: "email", Autocomplete: "username", Plain: true, MaxLength: 254,
	}},
	"password": {"field.password", input{
		Type: "password", Autocomplete: "current-password", Plain: true, secret: true,
	}},
	"current-password": {"field.current_password", input{
		Type: "password", Autocomplete: "current-password", Plain: true, secret: true,
	}},
	"username": {"field.username", input{
		Type: "text", Autocomplete: "username", Plain: true, ReadOnly: true,
	}},
	"new-password": {"field.new_password", input{
		Type: "password", Autocomplete: "new-password", Plain: true, secret: true,
	}},
	"confirm-password": {"field.confirm_password", input{
		Type: "password", Autocomplete: "new-password", Plain: true, secret: true,
	}},
	"answer": {"", input{
		Type: "text", Autocomplete: "off", Plain: true,
	}},
	"new-email": {"field.new_email", input{
		Type: "email", InputMode: "email", Autocomplete: "email", Plain: true, MaxLength: 254,
	}},
	"code": {"field.code", input{
		Type: "text", InputMode: "numeric", Autocomplete: "one-time-code", Plain: true,
	}},
}
