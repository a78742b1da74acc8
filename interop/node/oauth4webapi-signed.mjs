// oauth4webapi with private_key_jwt and a signed request object that is pushed.
import * as oauth from "oauth4webapi";
import { visit, env, check, finish, signingKey } from "./browser.mjs";

const http = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(env("ISSUER"));
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...http }));
const client = { client_id: env("CLIENT_ID") };
const key = await signingKey();
const auth = oauth.PrivateKeyJwt(key);
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const object = await oauth.issueRequestObject(as, client, new URLSearchParams({
  client_id: client.client_id, redirect_uri: env("REDIRECT_URI"), response_type: "code", scope: "openid profile email offline_access",
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", state, nonce,
}), key);
const pushed = await oauth.processPushedAuthorizationResponse(as, client,
  await oauth.pushedAuthorizationRequest(as, client, auth, new URLSearchParams({ client_id: client.client_id, request: object }), http));
const request = new URL(as.authorization_endpoint);
request.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });

const answer = oauth.validateAuthResponse(as, client, await visit(request.href), state);
const tokens = await oauth.processAuthorizationCodeResponse(as, client,
  await oauth.authorizationCodeGrantRequest(as, client, auth, answer, env("REDIRECT_URI"), verifier, http),
  { expectedNonce: nonce, requireIdToken: true });
const claims = oauth.getValidatedIdTokenClaims(tokens);
const info = await oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, http));
check("userinfo without the email", info.email === env("EMAIL"));
const renewed = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, http));
check("no new tokens", renewed.access_token !== tokens.access_token);
const end = new URL(as.end_session_endpoint);
end.search = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: env("SIGNED_OUT_URI") });
const bye = await visit(end.href);
check("signed out to " + bye, bye.href === env("SIGNED_OUT_URI"));
finish();
