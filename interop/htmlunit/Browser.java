import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.MalformedURLException;
import java.net.URI;
import java.net.URL;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.htmlunit.BrowserVersion;
import org.htmlunit.HttpMethod;
import org.htmlunit.ScriptException;
import org.htmlunit.WaitingRefreshHandler;
import org.htmlunit.WebClient;
import org.htmlunit.WebRequest;
import org.htmlunit.html.DomElement;
import org.htmlunit.html.HtmlInput;
import org.htmlunit.html.HtmlPage;
import org.htmlunit.javascript.JavaScriptErrorListener;

/**
 * A browser that does what it reads: one form-encoded command per line, one
 * form-encoded answer per line. It is set up as the conformance suite of the
 * OpenID Foundation sets up its own, and writes down every script error.
 */
public class Browser {
    private final WebClient client = new WebClient(BrowserVersion.BEST_SUPPORTED);
    private final List<String> scriptErrors = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Browser browser = new Browser(Boolean.parseBoolean(args[0]));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            Map<String, String> answer;
            try {
                answer = browser.does(decode(line));
            } catch (Exception e) {
                answer = Map.of("failed", e.toString());
            }
            out.println(encode(answer));
        }
    }

    private Browser(boolean javaScript) {
        client.getOptions().setJavaScriptEnabled(javaScript);
        client.getOptions().setUseInsecureSSL(true); // a certificate of the test
        client.getOptions().setThrowExceptionOnFailingStatusCode(false);
        client.getOptions().setThrowExceptionOnScriptError(false);
        client.setRefreshHandler(new WaitingRefreshHandler());
        client.setJavaScriptErrorListener(new JavaScriptErrorListener() {
            @Override
            public void scriptException(HtmlPage page, ScriptException e) {
                scriptErrors.add(page.getUrl() + ": " + e.getMessage());
            }

            @Override
            public void timeoutError(HtmlPage page, long allowed, long took) {
                scriptErrors.add(page.getUrl() + ": a script took " + took + " ms");
            }

            @Override
            public void malformedScriptURL(HtmlPage page, String address, MalformedURLException e) {
                scriptErrors.add(page.getUrl() + ": " + e.getMessage());
            }

            @Override
            public void loadScriptError(HtmlPage page, URL address, Exception e) {
                scriptErrors.add(page.getUrl() + ": " + address + ": " + e.getMessage());
            }

            @Override
            public void warn(String message, String source, int line, String text, int offset) {
            }
        });
    }

    private Map<String, String> does(Map<String, String> command) throws Exception {
        switch (command.get("do")) {
            case "open":
                client.getPage(command.get("url"));
                break;
            case "post":
                WebRequest request = new WebRequest(URI.create(command.get("url")).toURL(), HttpMethod.POST);
                request.setAdditionalHeader("Content-Type", "application/x-www-form-urlencoded");
                request.setRequestBody(command.get("body"));
                client.getPage(request);
                break;
            case "text":
                HtmlInput input = (HtmlInput) element(command.get("id"));
                input.setValue("");
                input.type(command.get("value"));
                break;
            case "click":
                element(command.get("id")).click();
                break;
            default:
                throw new IllegalArgumentException("no such command");
        }
        client.waitForBackgroundJavaScript(250);
        return seen();
    }

    private HtmlPage page() {
        return (HtmlPage) client.getCurrentWindow().getEnclosedPage();
    }

    private DomElement element(String id) {
        DomElement found = page().getElementById(id);
        if (found == null) {
            throw new IllegalArgumentException("no #" + id + " at " + page().getUrl() + "\n" + page().asNormalizedText());
        }
        return found;
    }

    private Map<String, String> seen() {
        HtmlPage page = page();
        List<String> ids = new ArrayList<>();
        for (DomElement one : page.getDomElementDescendants()) {
            if (!one.getId().isEmpty()) {
                ids.add(one.getId());
            }
        }
        return Map.of("url", page.getUrl().toString(), "status", String.valueOf(page.getWebResponse().getStatusCode()),
            "text", page.asNormalizedText(), "ids", String.join(" ", ids), "errors", String.join("\n", scriptErrors));
    }

    private static Map<String, String> decode(String line) {
        Map<String, String> out = new HashMap<>();
        for (String pair : line.split("&")) {
            String[] parts = pair.split("=", 2);
            out.put(URLDecoder.decode(parts[0], StandardCharsets.UTF_8), URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return out;
    }

    private static String encode(Map<String, String> answer) {
        List<String> out = new ArrayList<>();
        answer.forEach((name, value) -> out.add(name + "=" + URLEncoder.encode(value, StandardCharsets.UTF_8)));
        return String.join("&", out);
    }
}
