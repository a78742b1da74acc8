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
	return signin.Flow{ClientID: v.ClientID, ClientName: v.ClientName, ClientNames: v.ClientNames, LoginHint: v.LoginHint,
		UILocales: v.UILocales, RedirectOrigin: v.RedirectOrigin,
		LogoURI: v.LogoURI, PolicyURI: v.PolicyURI, TermsURI: v.TermsURI, UnverifiedHost: v.UnverifiedHost}, err
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

// apps tells My Account about the clients that an account lets in.
type apps struct{ provider *oauth.Provider }

func (a apps) Connected(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]account.App, error) {
	found, err := a.provider.Connected(ctx, r, accountID)
	list := make([]account.App, 0, len(found))
	for _, one := range found {
		list = append(list, account.App(one))
	}
	return list, err
}

func (a apps) Remove(ctx context.Context, r *realm.Realm, accountID uuid.UUID, clientID string, by account.By) error {
	err := a.provider.RemoveApp(ctx, r, accountID, clientID, oauth.AppRemoval{Actor: by.Actor, IP: by.IP, Device: by.Device})
	if errors.Is(err, oauth.ErrNoApp) {
		return fmt.Errorf("%w: %w", account.ErrApp, err)
	}
	return err
}

func (a apps) Names(ctx context.Context, r *realm.Realm, clientIDs []string) (map[string]account.App, error) {
	found, err := a.provider.AppNames(ctx, r, clientIDs)
	names := make(map[string]account.App, len(found))
	for id, one := range found {
		names[id] = account.App(one)
	}
	return names, err
}

// resets makes staff's reset links and tells how far they have got.
type resets struct{ service *recovery.Service }

func (s resets) Send(ctx context.Context, r *realm.Realm, t admin.StaffTicket) (admin.Reset, error) {
	ticket, err := s.service.CreateStaffTicket(ctx, r, recovery.StaffTicket{
		AccountID: t.AccountID, ConfirmedEmail: t.ConfirmedEmail, By: t.RequestedBy, PracticeID: t.Practice.ID, AssociationID: t.AssociationID,
		Practice: t.Practice.Name, PracticePhone: t.Practice.SupportPhone, Reason: t.Reason, ClientID: t.By.ClientID, IP: t.By.IP,
		WhileLocked: t.MayWaive})
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

func (s resets) RequestWaiver(ctx context.Context, r *realm.Realm, w admin.StaffWaiver) (admin.Reset, error) {
	t, err := s.service.RequestWaiver(ctx, r, recovery.StaffWaiver(w))
	return view(t), waiverError(err)
}

func (s resets) ApproveWaiver(ctx context.Context, r *realm.Realm, w admin.StaffWaiver) (admin.Reset, error) {
	t, err := s.service.ApproveWaiver(ctx, r, recovery.StaffWaiver(w))
	return view(t), waiverError(err)
}

func waiverError(err error) error {
	for from, to := range map[error]error{recovery.ErrTicket: admin.ErrFinished, recovery.ErrWaiver: admin.ErrWaiver,
		recovery.ErrSecondPerson: admin.ErrSecondPerson, recovery.ErrEmailChanged: admin.ErrEmailChanged} {
		if errors.Is(err, from) {
			return fmt.Errorf("%w: %w", to, err)
		}
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
	if w := t.Waiver; w.RequestedBy != nil && w.RequestedAt != nil {
		v.Waiver = &admin.Waiver{RequestedBy: *w.RequestedBy, RequestedAt: *w.RequestedAt, IdentityCheck: w.IdentityCheck, ApprovedAt: w.ApprovedAt}
	}
	for _, s := range t.Steps() {
		v.Events = append(v.Events, admin.ResetEvent{State: string(s.State), At: s.At})
	}
	return v
}
