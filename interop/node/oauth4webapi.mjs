// oauth4webapi: the same steps, each response checked by the library.
import * as oauth from "oauth4webapi";
import { visit, env, check, finish } from "./browser.mjs";

const http = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(env("ISSUER"));
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...http }));
// RFC 8414 puts the path of the issuer last; both say the same.
const other = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...http }));
check("the two discovery documents differ", JSON.stringify(as) === JSON.stringify(other));

const client = { client_id: env("CLIENT_ID") };
const secret = oauth.ClientSecretBasic(env("CLIENT_SECRET"));
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const parameters = new URLSearchParams({
  client_id: client.client_id, redirect_uri: env("REDIRECT_URI"), response_type: "code", scope: "openid profile email offline_access",
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", state, nonce, max_age: "3600",
});
const pushed = await oauth.processPushedAuthorizationResponse(as, client,
  await oauth.pushedAuthorizationRequest(as, client, secret, parameters, http));
const request = new URL(as.authorization_endpoint);
request.searchParams.set("client_id", client.client_id);
request.searchParams.set("request_uri", pushed.request_uri);

const answer = oauth.validateAuthResponse(as, client, await visit(request.href), state);
const tokens = await oauth.processAuthorizationCodeResponse(as, client,
  await oauth.authorizationCodeGrantRequest(as, client, secret, answer, env("REDIRECT_URI"), verifier, http),
  { expectedNonce: nonce, maxAge: 3600, requireIdToken: true });
const claims = oauth.getValidatedIdTokenClaims(tokens);

const userinfo = async (token) => oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, token, http));
check("userinfo without the email", (await userinfo(tokens.access_token)).email === env("EMAIL"));

const renewed = await oauth.processRefreshTokenResponse(as, client,
  await oauth.refreshTokenGrantRequest(as, client, secret, tokens.refresh_token, http));
check("no new tokens", renewed.access_token !== tokens.access_token);
await userinfo(renewed.access_token);

// An access token as an API sees it (RFC 9068).
const api = new Request("http://api.example.test/", { headers: { authorization: "Bearer " + renewed.access_token } });
const access = await oauth.validateJwtAccessToken(as, api, issuer.href, { ...http });
check("another person's access token", access.sub === claims.sub && access.client_id === client.client_id);

const end = new URL(as.end_session_endpoint);
end.search = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: env("SIGNED_OUT_URI"), state: "x" });
const bye = await visit(end.href);
check("signed out to " + bye, bye.href === env("SIGNED_OUT_URI") + "?state=x");
finish();
