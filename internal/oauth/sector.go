package oauth

import (
	"net/url"
	"strings"

	"github.com/portico-id/portico/internal/realm"
)

// checkSubject finds out whose clients share a pairwise subject (OpenID
// Connect Core §8.1): those of the sector's host, or of the one host of all
// redirect URIs.
func (m *clientMetadata) checkSubject(address func(string) error) error {
	if m.SubjectType != realm.SubjectPublic && m.SubjectType != realm.SubjectPairwise {
		return metadataError("The subject_type is public or pairwise.")
	}
	if m.SectorURI != "" && (len(m.SectorURI) > maxURI || address(m.SectorURI) != nil) {
		return metadataError("The sector_identifier_uri is no public https address.")
	}
	if m.SubjectType != realm.SubjectPairwise || m.SectorURI != "" {
		return nil
	}
	// This machine and the schemes of apps are no owner's: all of them would
	// share one pseudonym.
	for _, uri := range m.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || u.Scheme != "https" || realm.Loopback(u.Hostname()) {
			return metadataError("Pairwise subjects for redirect URIs on loopback or with a scheme of an app need a sector_identifier_uri.")
		}
	}
	if m.sector() == "" {
		return metadataError("Redirect URIs of several hosts need a sector_identifier_uri.")
	}
	return nil
}

// sector is the host that stands for the sector; "" when there is no single one.
func (m *clientMetadata) sector() string {
	uris := m.RedirectURIs
	if m.SectorURI != "" {
		uris = []string{m.SectorURI}
	}
	host := ""
	for i, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || u.Hostname() == "" || i > 0 && strings.ToLower(u.Hostname()) != host {
			return ""
		}
		host = strings.ToLower(u.Hostname())
	}
	return host
}
