import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import software.amazon.event.ruler.GenericMachine;

/** Measures event-ruler for event_ruler.py: rules and events, a JSON text on each line; found rules are written likewise. */
class EventRuler {
    public static void main(String[] arguments) throws Exception {
        List<String> rules = Files.readAllLines(Path.of(arguments[0]));
        List<String> events = Files.readAllLines(Path.of(arguments[1]));
        double seconds = Double.parseDouble(arguments[3]);

        long before = usedBytes();
        long begun = System.nanoTime();
        GenericMachine<Integer> machine = GenericMachine.<Integer>builder().build();
        for (int number = 0; number < rules.size(); number++) {
            machine.addRule(number, rules.get(number));
        }
        double build = (System.nanoTime() - begun) / 1e9;
        double megabytes = (usedBytes() - before) / 1e6;

        List<String> found = new ArrayList<>();
        for (String event : events) {
            List<Integer> numbers = new ArrayList<>(machine.rulesForJSONEvent(event));
            Collections.sort(numbers);
            found.add(numbers.toString());
        }
        Files.write(Path.of(arguments[2]), found);

        System.out.printf(
            Locale.ROOT,
            "{\"events_per_second\": %.0f, \"build_seconds\": %.3f, \"megabytes\": %.1f}%n",
            eventsPerSecond(machine, events, seconds), build, megabytes);
    }

    /** The best pass over all events, in this thread's processor time; passes go on for some seconds, until all is compiled. */
    private static double eventsPerSecond(GenericMachine<Integer> machine, List<String> events, double seconds)
            throws Exception {
        ThreadMXBean thread = ManagementFactory.getThreadMXBean();
        long end = System.nanoTime() + (long) (seconds * 1e9);
        double best = 0;
        do {
            long begun = thread.getCurrentThreadCpuTime();
            for (String event : events) {
                machine.rulesForJSONEvent(event);
            }
            best = Math.max(best, events.size() * 1e9 / (thread.getCurrentThreadCpuTime() - begun));
        } while (System.nanoTime() < end);
        return best;
    }

    private static long usedBytes() {
        for (int again = 0; again < 4; again++) {
            System.gc();
        }
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }
}
