// Sends the answer of a sign-in on to the portal that asked for it. Without this
// script there is a button. Plain old JavaScript: it runs in anything that has
// ever called itself a browser.
(function () {
  "use strict";
  var form = document.getElementById("form-post");
  if (form) {
    form.submit();
  }
})();
