// For tablets without modules: ask for the page anew, as without script.
(function () {
  var live = document.getElementById("live");
  if (live) {
    setTimeout(function () { location.replace(live.getAttribute("data-self")); }, 10000);
  }
})();
