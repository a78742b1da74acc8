package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/admin"
	"github.com/portico-id/portico/internal/oauth"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/recovery"
	"github.com/portico-id/portico/internal/signin"
)

// The rooms of one floor do not know each other. What one of them needs of
// another it names by an interface; these types translate.

// authorizations tells sign-in and recovery about authorization requests.
type authorizations struct{ provider *oauth.Provider }

func (a authorizations) Describe(ctx context.Context, r *realm.Realm, flow uuid.UUID, browser []byte) (signin.Flow, error) {
	v, err := a.provider.Describe(ctx, r, flow, browser)
	if errors.Is(err, oauth.ErrFlow) {
		return signin.Flow{ClientID: v.ClientID}, fmt.Errorf("%w: %w", signin.ErrFlow, err)
	}
	return signin.Flow{ClientID: v.ClientID, ClientName: v.ClientName, LoginHint: v.LoginHint,
		UILocales: v.UILocales, RedirectOrigin: v.RedirectOrigin,
		LogoURI: v.LogoURI, PolicyURI: v.PolicyURI, TermsURI: v.TermsURI}, err
}

func (a authorizations) ClientOf(ctx context.Context, r *realm.Realm, flow uuid.UUID, browser []byte) (string, error) {
	v, err := a.provider.Describe(ctx, r, flow, browser)
	if errors.Is(err, oauth.ErrFlow) {
		return v.ClientID, nil
	}
	return v.ClientID, err
}

// bearer verifies the admin API's tokens.
type bearer struct{ provider *oauth.Provider }

func (b bearer) VerifyAccessToken(ctx context.Context, r *realm.Realm, raw, audience string) (admin.Claims, error) {
	c, err := b.provider.VerifyAccessToken(ctx, r, raw, audience)
	if err != nil {
		return admin.Claims{}, err
	}
	return admin.Claims{AccountID: c.AccountID, ClientID: c.ClientID, Scopes: c.Scopes, AuthTime: c.AuthTime,
		SessionID: c.SessionID, GrantID: c.GrantID}, nil
}

// resets makes staff's reset links and tells how far they have got.
type resets struct{ service *recovery.Service }

func (s resets) Send(ctx context.Context, r *realm.Realm, t admin.StaffTicket) (admin.Reset, error) {
	ticket, err := s.service.CreateStaffTicket(ctx, r, recovery.StaffTicket{
		AccountID: t.AccountID, ConfirmedEmail: t.ConfirmedEmail, By: t.RequestedBy, PracticeID: t.Practice.ID, AssociationID: t.AssociationID,
		Practice: t.Practice.Name, PracticePhone: t.Practice.SupportPhone, Reason: t.Reason, ClientID: t.By.ClientID, IP: t.By.IP})
	if errors.Is(err, recovery.ErrTooMany) {
		err = fmt.Errorf("%w: %w", admin.ErrTooMany, err)
	}
	if errors.Is(err, recovery.ErrLocked) {
		err = fmt.Errorf("%w: %w", admin.ErrLocked, err)
	}
	return view(ticket), err
}

func (s resets) Cancel(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error {
	err := s.service.Cancel(ctx, r, id, by)
	if errors.Is(err, recovery.ErrTicket) {
		return fmt.Errorf("%w: %w", admin.ErrFinished, err)
	}
	return err
}

func (s resets) Find(ctx context.Context, r *realm.Realm, id uuid.UUID) (admin.Reset, error) {
	return found(r, func() (recovery.Ticket, error) { return s.service.Find(ctx, id) })
}

func (s resets) Latest(ctx context.Context, r *realm.Realm, accountID, practiceID uuid.UUID) (admin.Reset, error) {
	return found(r, func() (recovery.Ticket, error) { return s.service.LatestOf(ctx, accountID, practiceID) })
}

func found(r *realm.Realm, find func() (recovery.Ticket, error)) (admin.Reset, error) {
	t, err := find()
	if errors.Is(err, recovery.ErrNotFound) || err == nil && t.Realm != r.Name {
		return admin.Reset{}, admin.ErrNoReset
	}
	return view(t), err
}

// view is a ticket as staff may see it, with its steps in order.
func view(t recovery.Ticket) admin.Reset {
	v := admin.Reset{ID: t.ID, AccountID: t.AccountID, State: string(t.State), LoginEmail: t.Email, ExpiresAt: t.ExpiresAt}
	if t.AssociationID != nil {
		v.AssociationID = *t.AssociationID
	}
	if t.PracticeID != nil {
		v.PracticeID = *t.PracticeID
	}
	for _, s := range t.Steps() {
		v.Events = append(v.Events, admin.ResetEvent{State: string(s.State), At: s.At})
	}
	return v
}
